"""Simplifies and fuses ONNX graphs, and shows that they still compute what they did."""
