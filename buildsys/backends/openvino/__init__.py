"""OpenVINO: makes its IR from ONNX, quantizes it with NNCF, runs it on the CPU."""
