"""Changes a model before it is captured: pruned, finetuned, distilled, quantization-aware."""
