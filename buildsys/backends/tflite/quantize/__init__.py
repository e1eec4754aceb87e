"""Makes TFLite files smaller, and says how much of them became so."""
