"""What runs inside of environments. Standard library only: `program.py` is started by its path."""
