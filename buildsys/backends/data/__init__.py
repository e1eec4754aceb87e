"""Datasets: arrays from the user's code or from folders of images, and metrics in Python."""
