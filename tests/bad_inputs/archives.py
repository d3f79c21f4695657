"""Damaged archives of arrays (.npz), and files that hold something else."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np


def _marked(place: int, value: int) -> Callable[[Path], int]:
  """A change of a byte in all headers of a zip, central ones have 2 more."""

  def change(path):
    data = path.read_bytes()
    marked = bytearray(data)
    for mark, at in ((b'PK\x03\x04', place), (b'PK\x01\x02', place + 2)):
      start = -1
      while (start := data.find(mark, start + 1)) >= 0:
        marked[start + at] = value
    return path.write_bytes(marked)

  return change


# Of an .npz: flags are at byte 6 of a header, the compression is at byte 8.
ZIPS = (
  ('with a password', _marked(6, 1)), ('patched', _marked(6, 32)),
  ('deflated nonsense', _marked(8, 8)), ('bzip2 nonsense', _marked(8, 12)),
  ('LZMA nonsense', _marked(8, 14)), ('compressed anyhow', _marked(8, 99)),
)  # fmt: skip


def other_object(suffix: str) -> bytes:
  """A file of the right kind that holds something else, pickled if it can."""
  out = io.BytesIO()
  if suffix == '.npy':
    np.save(out, np.array([{'a': 1}]), allow_pickle=True)
  elif suffix == '.npz':
    np.savez(out, x=np.array([{'a': 1}], object))
  else:
    out.write(b'[1, 2]')
  return out.getvalue()
