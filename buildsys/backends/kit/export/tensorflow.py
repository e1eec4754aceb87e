"""Settings of TensorFlow, made before it is imported."""

ENVIRON = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # Its kernels differ by processor, and constants are folded with them.
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "AUTOGRAPH_VERBOSITY": "0",
}
"""Environment variables."""
