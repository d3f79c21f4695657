"""What is kept of a finished experiment, and what it says of sounds."""
