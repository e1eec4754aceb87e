"""What runs inside of environments, beside `worker_host.py`. Standard library only: loaded by path."""
