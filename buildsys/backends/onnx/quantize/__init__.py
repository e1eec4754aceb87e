"""Makes ONNX files smaller: float16, weights in integers, weights and activations in integers."""
