"""The clips that are shown: which, in which order, and what is said."""

import numpy as np

from aec_jax.report import Shown, clip_section
from aec_jax.report.scored import Scored


def test_hardest_and_surest_clips():
  probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.01, 0.99]])
  targets = np.eye(2, dtype=bool)[[0, 0, 0, 1]]
  scored = Scored(list('wxyz'), targets, probabilities, ['a', 'b'])
  shown = []

  def show(clip_id):
    shown.append(clip_id)
    return Shown(np.eye(3), 'log-mel')

  section = clip_section.clips(scored, True, show)
  hardest, surest = section.blocks[1:]
  assert [clip.name for clip in hardest.clips] == ['y', 'x']
  assert [clip.name for clip in surest.clips] == ['z', 'w']
  assert shown == list('yxzw')
  assert dict(hardest.clips[0].facts) == {
    'labels': 'a', 'guesses': 'b 0.80; a 0.20', 'sureness': '0.2',
  }  # fmt: skip
