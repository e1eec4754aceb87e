"""TensorRT: builds engines from ONNX for the GPU of the machine that it runs on."""
