"""What must hold of any project, whatever is done to it: random moves against an exact model."""
