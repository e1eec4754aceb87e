"""ONNX models as web pages: packed for browsers, run by onnxruntime-web."""
