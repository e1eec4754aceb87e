"""The self-test of a bundle: what goes into it, and the script that runs it elsewhere."""
