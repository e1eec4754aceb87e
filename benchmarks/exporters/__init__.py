"""Both exporters to ONNX over the zoo: what ships, and what the files cost."""
