"""ORT files from ONNX, and the lists of operators that small builds of ONNX Runtime need for them."""
