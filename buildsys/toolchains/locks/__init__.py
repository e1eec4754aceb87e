"""Lock files: read, and resolved anew."""
