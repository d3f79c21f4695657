"""Training: one step, the loop, checkpoints, and what is trained."""
