"""All experiments of the thesis: Tables 10 to 15."""

SWEEPS = ('table10', 'table12', 'table13', 'table14', 'table15')
