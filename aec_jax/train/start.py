"""What training starts from instead of random weights."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Mapping

from aec_jax.errors import PassingError, UserError
from aec_jax.models import extractors
from aec_jax.run import files


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
  """Weights that extractors start from.

  Attributes:
    key: names them, for the cache; '' for none.
    variables: of an extractor's title, those of them that are learned, as
      `extractors.example_classifier` has them: {'params': …, …}.
  """

  key: str = ''
  variables: Callable[[str], dict] = lambda title: {}


def of_file(section) -> Start:
  """What `config.extractor.init` names.

  Args:
    section: `config.extractor`.

  Raises:
    UserError: the file cannot be read; also of `variables`, if it is no such
      weights.
  """

  def variables(title):
    del title  # all start from the same
    params = extractors.pretrained(section)
    return {} if params is None else {'params': {'extractor': params}}

  return Start(_weights_digest(section.init), variables)


def merged(fresh: Mapping, learned: Mapping) -> dict:
  """Nested variables, with those that are learned in place of fresh ones."""
  out = dict(fresh)
  for name, value in learned.items():
    deep = isinstance(value, Mapping)
    out[name] = merged(fresh[name], value) if deep else value
  return out


def _weights_digest(path: str) -> str:
  if path in ('', 'random'):
    return ''
  remedy = "give the file of python -m aec_jax.models.convert, or 'random'"
  try:
    files.check_file(path, remedy=remedy)
    found = os.stat(path)
    return _digest(path, found.st_size, found.st_mtime_ns)
  except PassingError:
    raise
  except UserError as error:
    raise UserError(f'config.extractor.init: {error}') from error
  except OSError as error:
    raise UserError(
      f'config.extractor.init: {path}: {error.strerror}; {remedy}'
    ) from error


@functools.cache
def _digest(path: str, size: int, changed: int) -> str:
  """A file's hash, of 64 bytes; read once for all extractors.

  Those that `content` keeps are of 16, and name no extractor of a cache.
  """
  del size, changed  # another file of that name is read anew
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'blake2b').hexdigest()
