"""Makes TFLite files: of exported programs, and of ONNX."""
