"""One small model of every family of timm in four formats: networks that nobody here wrote."""
