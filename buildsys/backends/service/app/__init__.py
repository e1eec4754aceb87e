"""The service that is shipped: FastAPI around an ONNX model."""
