"""TensorFlow: SavedModels for serving, TensorFlow.js for browsers."""
