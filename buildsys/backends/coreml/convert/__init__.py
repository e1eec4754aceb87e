"""Converts captured models to Core ML: programs and neural networks, pictures, classes."""
