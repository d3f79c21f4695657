"""Sweeps, launchers and benchmarks."""

import aec_jax  # noqa: F401 (Ctrl-C is one line from here on)
