"""The report's section on calibration and thresholds."""

import numpy as np

from aec_jax.bundle import decisions
from aec_jax.report import decision_section


def test_it_shows_reliability_and_thresholds():
  rng = np.random.default_rng(0)
  targets = rng.random((200, 3)) < 0.3
  targets[:, 2] = False
  found = decisions.fit(targets, 0.5 * rng.random((200, 3)) + 0.4 * targets)
  classes = ('a', 'b', 'nothing')
  results = {'per_class': dict.fromkeys(classes), 'decisions': found}
  text, figure, table = decision_section.decisions(results).blocks
  assert f'{found["ECE"]["before"]:.4f} before' in str(text)
  assert '2 of 3 classes have a calibration of their own' in str(text)
  assert 'before calibration' in str(figure)
  best = found['points'][decisions.BEST]
  assert f'{best["F1"][0]:.3f} (' in str(table)
  assert str(table).count('—') == 4  # of the class without positives


def test_it_is_left_out_of_older_results():
  assert not decision_section.decisions({'per_class': {}}).blocks
