"""Data sets for users of TensorFlow Datasets."""
