"""A web service around an ONNX model: made, started on this machine, asked over HTTP."""
