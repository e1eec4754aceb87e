"""ExecuTorch: exported programs to .pte files, with XNNPACK, portable kernels or Core ML."""
