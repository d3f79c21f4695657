"""An extractor that is ready: its variables, and how it was trained."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aec_jax.features.embeddings import load_variables
from aec_jax.models import extractors
from aec_jax.run import checksums, hosts


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
  """An extractor that is ready.

  Attributes:
    name: among all extractors.
    variables: as `extractors.extractor_variables` has them.
    key: names them, for the cache of embeddings.
    history: of its training: 'evaluations', 'seconds', …
  """

  name: str
  variables: dict
  key: str
  history: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @classmethod
  def of_folder(cls, name: str, section, folder: Path) -> 'Trained':
    """The one that lies in a folder of host 0's cache, on every host.

    Args:
      name: among all extractors.
      section: `config.extractor`.
      folder: of its stage.

    Raises:
      UserError: it is damaged.
    """
    variables, history = hosts.lead(lambda: _read(folder))
    variables = extractors.extractor_variables(section, variables)
    return cls(name, variables, folder.name, history)


def _read(folder: Path) -> tuple[dict, dict]:
  """The variables of an extractor of the cache, and its history.

  Raises:
    UserError: it is damaged.
  """
  checksums.check(folder)
  history = json.loads((folder / 'history.json').read_text('utf-8'))
  return load_variables(folder), history
