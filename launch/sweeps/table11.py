"""Thesis Table 11: t-tests between the models of Table 10."""

from launch.sweeps import table10

EXPERIMENTS = table10.EXPERIMENTS
