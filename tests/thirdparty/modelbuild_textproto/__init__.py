"""ONNX models as text."""
