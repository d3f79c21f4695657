"""Which examples, in which order."""
