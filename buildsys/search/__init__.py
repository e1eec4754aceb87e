"""The smallest, or the fastest, artifact that is still good enough, found by the build."""
