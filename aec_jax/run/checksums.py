"""Checksums of a folder's files, by which damage is found when it is opened.

CRC-32C, which processors have an instruction for: it takes as long as reading.
"""

import json
from pathlib import Path

import google_crc32c

from aec_jax.errors import UserError, may_pass
from aec_jax.run import files

_NAME = 'checksums.json'
_PART = 1 << 24  # bytes that are read at a time


def write(folder: Path) -> None:
  """Writes the checksums of all files under a folder into it."""
  paths = [path for path in sorted(folder.rglob('*')) if path.is_file()]
  found = {str(path.relative_to(folder)): _of(path) for path in paths}
  files.write_json(folder / _NAME, found)


def check(folder: Path) -> None:
  """Reads a folder's files and holds them against what was written.

  Where an older version wrote the folder, there is nothing to hold against.

  Raises:
    UserError: a file is missing, or other bytes than were written.
    OSError: one cannot be read now.
  """
  path = folder / _NAME
  again = f'delete {folder} and run again'
  damaged = f'is damaged: {again}'
  files.check_file(path, needed=False, remedy=again)
  if not path.exists():
    return
  try:
    wanted = json.loads(path.read_text(encoding='utf-8'))
    for name, checksum in wanted.items():
      files.check_file(folder / name, needed=False, remedy=again)
      if _of(folder / name) != checksum:
        raise UserError(f'{folder / name} {damaged}')
  except OSError as error:
    if may_pass(error):
      raise
    raise UserError(f'{error.filename} {damaged}') from error
  except (AttributeError, TypeError, ValueError) as error:
    raise UserError(f'{path} {damaged}') from error


def _of(path: Path) -> str:
  """A file's checksum, hexadecimal."""
  checksum = google_crc32c.Checksum()
  with open(path, 'rb') as file:
    while part := file.read(_PART):
      checksum.update(part)
  return checksum.hexdigest().decode()
