"""Core ML: ML programs from captured PyTorch models."""
