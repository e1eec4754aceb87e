"""Servers of models: tensors on the wire, and a server that is started for verification."""
