"""Files that appear whole or not at all."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from aec_jax.errors import UserError


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
  """Another path to write to, so that a file appears whole or not at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  unfinished = path.with_name(f'.{path.name}')
  try:
    yield unfinished
    os.replace(unfinished, path)
  finally:
    unfinished.unlink(missing_ok=True)


def write_json(path: str | Path, value) -> None:
  """Writes a JSON file that appears whole or not at all."""
  text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
  with whole(Path(path)) as unfinished:
    unfinished.write_text(text + '\n', encoding='utf-8')


def read_json(path: str | Path, *needed: str) -> dict:
  """Reads an object that `write_json` has written.

  Args:
    path: of the file.
    needed: keys that it must have.

  Raises:
    UserError: it is not there, or not whole.
  """
  try:
    value = json.loads(Path(path).read_text(encoding='utf-8'))
    for key in needed:
      value[key]
  except OSError as error:
    raise UserError(f'{path}: {error.strerror}') from error
  except (ValueError, KeyError, TypeError) as error:
    raise UserError(
      f'{path} is damaged: it is no JSON object with'
      f' {", ".join(needed) or "anything"}'
    ) from error
  return value
