"""What a build came to, for machines and for people."""
