"""Model repositories for Triton, checked by its own protobuf."""
