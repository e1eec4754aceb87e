"""Quantization: calibration data, ranges of activations, settings by layer."""
