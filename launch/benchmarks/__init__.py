"""Benchmarks: each module prints one table."""

from aec_jax.run import starting

starting.hear_ctrl_c()  # they clear up after themselves
