"""ONNX files of the user's: adopted, upgraded, and run as they were given."""
