"""Whole packages made by coremltools and evaluated; run in the `coreml` toolchain, one process for all."""
