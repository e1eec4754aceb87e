"""The lite interpreter of PyTorch Mobile: `.ptl` files."""
