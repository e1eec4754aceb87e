"""What a recipe's parts must have in common, and what is said where they do not."""
