"""Builds a torch module of an ONNX model: each node by torch's own operators, with sizes fixed."""
