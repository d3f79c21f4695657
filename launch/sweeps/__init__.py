"""The thesis's tables as lists of experiments, for `python -m launch.sweep`."""
