"""ONNX's own backend models, all of them: what ships, what is refused and why."""
