"""Thesis Table 11: t-tests between the models of Table 10."""

SWEEPS = ('table10',)
