"""Members that several experiments have in common are trained once.

Rows of Tables 12 to 15 are made of the same ensembles: `dcase_l1` is
`dcase_extractor_ensemble_all`, and the lengths of `dcase_l_all` are the rows of
Table 15. What training ends with lies in the cache, and an experiment whose
training is a function of the same things goes on from there: to its scores.
"""

import contextlib
from pathlib import Path

from absl import logging

from aec_jax.run import cache, checksums, fields, hosts
from aec_jax.train.checkpoint import Checkpoints

_STAGE = 'members'
# Raised when members change for the same config and data.
_VERSION = 1
# Fields that name an experiment, the lengths that it trains in turn, and how it
# is scored.
_NOT_OF_MEMBERS = ('name', 'segments', 'test_shifts')


def depends(config, length: int, fingerprint: str, extractors: list) -> dict:
  """All that the members of one length of pieces are a function of.

  Args:
    config: of the experiment, resolved.
    length: of the pieces.
    fingerprint: of the data.
    extractors: what names them.
  """
  flat = dict(fields.flattened(config.to_dict()))
  free = {k: v for k, v in flat.items() if fields.role(k) == 'free'}
  flat = fields.changed(flat) | free | {'extractor.init': ''}
  return {
    'version': _VERSION,
    'data': fingerprint,
    'extractors': extractors,
    'length': length,
    **{k: v for k, v in flat.items() if k not in _NOT_OF_MEMBERS},
  }


def take(checkpoints: Checkpoints, system, cache_dir, depends: dict) -> bool:
  """Puts what another experiment has trained where this one would go on from.

  Nothing where this one has begun, or none has ended.

  Returns:
    Whether it did.

  Raises:
    UserError: what is there has been damaged since it was put there.
  """
  folder = cache.folder_of(cache_dir, _STAGE, depends)
  if not hosts.lead(folder.exists):
    return False
  template = system.create_state()
  if checkpoints.restore(template) is not None:
    return False
  hosts.lead(lambda: checksums.check(folder))
  with contextlib.closing(Checkpoints(folder)) as others:
    found = others.restore(template)
  if found is None:
    return False
  logging.info('trained already, by another experiment: %s', folder)
  checkpoints.save(int(found[0].step), *found)
  return True


def keep(state, history: dict, cache_dir: str | Path, depends: dict) -> None:
  """Puts what training has ended with into the cache."""

  def build(folder):
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
      checkpoints.save(int(state.step), state, history)

  folder = cache.folder_of(cache_dir, _STAGE, depends)
  hosts.lead(lambda: cache.build_here(folder, depends, build))
