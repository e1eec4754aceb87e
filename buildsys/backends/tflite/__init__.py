"""TFLite: from exported programs (litert-torch) or ONNX (onnx2tf), quantized by AI Edge Quantizer."""
