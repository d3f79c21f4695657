"""All experiments of the thesis: Tables 10 to 15."""

from launch.sweeps import table10, table12, table13, table14, table15

_TABLES = (table10, table12, table13, table14, table15)
# Model F is in three tables.
EXPERIMENTS = tuple(
  dict.fromkeys(name for table in _TABLES for name in table.EXPERIMENTS)
)
