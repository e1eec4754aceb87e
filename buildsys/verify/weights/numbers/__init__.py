"""Numbers of two tensors compared: by digests, by samples, element by element."""
