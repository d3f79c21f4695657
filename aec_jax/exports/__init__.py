"""What a bundle is exported as: its programs, and the formats of these."""
