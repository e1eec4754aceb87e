"""The original model: made, loaded, run, recorded; its weights and what it computes of them."""
