"""Which of a clip's segments a finished experiment's attention models heed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aec_jax.bundle.network import Ensemble, Network
from aec_jax.input import pieces


class Embedded(NamedTuple):
  """What a clip is to an experiment's classifiers.

  Attributes:
    embeddings: (extractor, segment, feature).
    fold: that the members have which score it, of those of each extractor;
      None: all score it.
  """

  embeddings: np.ndarray
  fold: int | None = None


def attention(network: Network, clips: Sequence[Embedded]) -> list[np.ndarray]:
  """How much the members that score a clip heed each of its segments.

  Args:
    network: of a bundle with an attention model.
    clips: one or more.

  Returns:
    For each clip (segment, class): the weights p_k(t) (thesis eq. 22), mean
    over levels, members and lengths of pieces, as multiples of what they are
    where a model heeds all of a piece alike.
  """
  offsets = np.cumsum([0, *(clip.embeddings.shape[1] for clip in clips)])
  embeddings = np.concatenate([clip.embeddings for clip in clips], 1)
  found = np.zeros((offsets[-1], len(network.classes)))
  even = np.zeros((offsets[-1], 1))
  for ensemble in network.ensembles:
    cut = pieces.cut(offsets, ensemble.length, ensemble.last_piece)
    # (member, piece, segment, class)
    _, weights, _ = network.pieces(
      ensemble, embeddings, cut.segments, cut.n_segments, each=True,
      asked=('attention',),
    )  # fmt: skip
    piece, _ = np.nonzero(cut.own)
    segments = cut.segments[cut.own]
    shares = _shares(ensemble, clips)[:, cut.clips[piece]]
    found[segments] += np.einsum('ms,msk->sk', shares, weights[:, cut.own])
    even[segments, 0] += 1 / cut.n_segments[piece]
  return np.split(found / even, offsets[1:-1])


def _shares(ensemble: Ensemble, clips) -> np.ndarray:
  """(member, clip) the share of each member in what is said of each clip."""
  scores = np.ones((len(ensemble.extractors), len(clips)))
  for c, clip in enumerate(clips):
    # Older bundles do not name their members.
    if clip.fold is not None and ensemble.members:
      ending = f'/{clip.fold}'
      scores[:, c] = [name.endswith(ending) for name in ensemble.members]
  return scores / scores.sum(0)
