"""A step chosen by held-out clips, and what is scored watched beside them."""

import dataclasses

import numpy as np
import pytest
from train_data import Writer, released, released_config

from aec_jax import scoring
from aec_jax.report import learning_section
from aec_jax.train.classifiers import Classifiers
from aec_jax.train.curves import Curves
from aec_jax.train.progress import History


@pytest.fixture(scope='module')
def watched():
  """Two members that hold four clips out, and one evaluation of them."""
  config = released_config()
  alone = released(config)
  (member,) = alone.members
  some = [
    dataclasses.replace(
      member, name=f'released_{i}', training=np.arange(4, 24),
      validation=np.arange(4), watched=True,
    )
    for i in range(2)
  ]  # fmt: skip
  features = dataclasses.replace(
    alone.features, embeddings=np.asarray(alone.resident['embeddings'])[None]
  )
  system = Classifiers(config, alone.objective, features, some)
  state = system.create_state()
  history = History()
  entry = {'step': 4, 'loss': 0.5, **system.evaluate(state, history)()}
  return system, state, entry


def test_held_out_clips_choose_and_scored_ones_are_told(watched):
  system, state, entry = watched
  every = [np.arange(24, 48)] * 2
  found = np.mean(system.clip_values(state.best, every), 0)
  targets = system.features.labels.select(every[0]).multi_hot()
  assert entry['scored'] == system.objective.scores(targets, found)
  held_out = system.clip_values(state.best, [np.arange(4)] * 2)
  targets = system.features.labels.select(np.arange(4)).multi_hot()
  scores = [system.objective.scores(targets, x)['mAP'] for x in held_out]
  np.testing.assert_allclose(entry['members']['mAP'], scores)
  np.testing.assert_allclose(entry['mAP'], np.mean(scores))


def test_the_thesis_s_way_is_told_beside(watched):
  system, _, entry = watched
  scored = entry['scored'] | {'mAP': 0.75}
  entries = [entry, entry | {'step': 8, 'scored': scored}]
  reports = {'10': {'evaluations': entries}}
  found = scoring.best_on_eval('mAP', reports)
  assert found == {'mAP_best_on_eval': max(0.75, entry['scored']['mAP'])}
  assert scoring.best_on_eval('mAP', {'10': {'evaluations': [{}]}}) == {}
  writer = Writer()
  with Curves(writer, system) as curves:
    curves.evaluated(entries[1])
  assert writer.scalars[8]['scored/mAP'] == 0.75
  results = {'config': {'metric': 'mAP'}, 'ensembles': reports}
  first = learning_section.learning(results).blocks[0]
  assert 'scored clips, which choose nothing' in first.chart
