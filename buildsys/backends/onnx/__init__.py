"""ONNX: exports from captured models, adopts files, runs them in ONNX Runtime."""
