"""What exporters have in common: sizes to capture, names of modules, orders of outputs."""
