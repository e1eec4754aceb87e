"""What workers and runtimes share inside a toolchain: stdlib and numpy only, no host package."""
