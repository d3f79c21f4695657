"""What the processor can do, by the flags that the kernel tells."""

import functools
from pathlib import Path


@functools.cache
def flags(cpuinfo: str = '/proc/cpuinfo') -> frozenset[str]:
  """The first core's flags, such as 'avx2'; empty where Linux tells none."""
  try:
    lines = Path(cpuinfo).read_text(encoding='utf-8').splitlines()
  except OSError:
    return frozenset()
  found = (line for line in lines if line.startswith('flags'))
  return frozenset(next(found, '').partition(':')[2].split())


def multiplies_bfloat16(of: frozenset[str] | None = None) -> bool:
  """Whether it has instructions for products of bfloat16.

  Args:
    of: flags; None: this processor's.
  """
  of = flags() if of is None else of
  return 'avx512_bf16' in of or has_bfloat16_matrix_unit(of)


def has_bfloat16_matrix_unit(of: frozenset[str] | None = None) -> bool:
  """Whether it multiplies bfloat16 matrices at some four times float32's rate.

  Intel's AMX does. `avx512_bf16` alone, which AMD has too, gives twice the
  rate, less than Winograd's algorithm saves.

  Args:
    of: flags; None: this processor's.
  """
  of = flags() if of is None else of
  return 'amx_bf16' in of and 'amx_tile' in of
