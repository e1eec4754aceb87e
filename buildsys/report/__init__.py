"""The results of a build, for machines and for people."""
