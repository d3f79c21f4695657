"""Sweeps, launchers and benchmarks."""
