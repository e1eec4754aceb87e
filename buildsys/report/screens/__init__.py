"""What commands print for people, a screen a module."""
