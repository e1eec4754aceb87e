"""Lock files: read, and resolved again."""
