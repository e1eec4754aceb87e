"""The steps that run, measure and locate: an artifact beside the original."""
