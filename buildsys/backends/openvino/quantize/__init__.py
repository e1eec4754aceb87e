"""Makes OpenVINO models smaller, and says how much of them became so."""
