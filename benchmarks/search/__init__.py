"""The search against trying every candidate by hand."""
