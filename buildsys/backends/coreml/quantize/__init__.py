"""Makes Core ML packages smaller, and says how much of them became so."""
