"""Pages of one file, which load nothing else."""
