"""Exports captured models to ONNX."""
