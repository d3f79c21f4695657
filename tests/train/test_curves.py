"""What training says while it goes on, and leaves for TensorBoard."""

import types

import numpy as np
import pytest
from absl import logging
from train_data import Writer, released_config

from aec_jax.errors import UserError
from aec_jax.run import progress as run_progress
from aec_jax.train import curves, progress


def system(**fields):
  config = released_config(**{'max_steps': 5000, **fields})
  return types.SimpleNamespace(
    settings=config, names=['a/0', 'a/1'], batch_of='examples'
  )


def test_curves_are_of_steps_evaluations_and_members():
  writer = Writer()
  found = curves.Curves(
    writer, system(**{'optimizer.warmup_steps': 10, 'batch_size': 8})
  )
  norms = np.array([[1.0, 5.0], [2.0, 7.0]])
  found.stepped(5, np.array([3.0, 2.0]), norms, np.array([0]), rate=4.0)
  assert writer.scalars[5] == {
    'training/loss': 2.0,
    'training/learning_rate': pytest.approx(0.4e-3),
    'training/gradient_norm': 2.0,  # the other member has diverged
    'training/examples_per_second': 32.0,
  }
  found.stepped(6, np.array([1.0]), norms, np.array([0]), rate=None)
  assert 6 not in writer.scalars  # a thousand points of 5,000 steps
  found.evaluated(
    {'step': 9, 'loss': 0.5, 'mAP': 0.3, 'log_likelihood': -0.7,
     'members': {'mAP': [0.2, None]}}
  )  # fmt: skip
  assert writer.scalars[9] == {
    'training/mean_loss': 0.5,
    'validation/mAP': 0.3,
    'validation/log_likelihood': -0.7,
    'validation/loss': 0.7,
    'members/mAP/a/0': 0.2,
  }


def test_event_files_have_the_config_and_the_curves(tmp_path):
  from tensorboard.backend.event_processing import event_accumulator

  config = released_config()
  with curves.Writer(tmp_path / 'run', config) as writer:
    writer.write_scalars(3, {'training/loss': 0.25})
  (path,) = (tmp_path / 'run').glob('events.*')
  events = event_accumulator.EventAccumulator(str(path)).Reload()
  (loss,) = events.Tensors('training/loss')
  assert loss.step == 3
  (text,) = events.Tensors('config')
  assert b'"mixup_alpha": 0.0' in text.tensor_proto.string_val[0]
  with curves.Writer(None, config) as nothing:
    nothing.write_scalars(1, {'x': 1.0})
  assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize('text', ['100', '5-5', '9-3', 'a-b', '-'])
def test_steps_of_a_profile_are_a_range(text):
  with pytest.raises(UserError, match=r'config\.profile_steps is'):
    curves.profile_steps(text)
  assert curves.profile_steps('100-110') == (100, 110)
  assert curves.profile_steps('') is None


def test_a_profile_is_of_the_dispatches_with_its_steps(monkeypatch, tmp_path):
  calls = []
  profiler = types.SimpleNamespace(
    start_trace=lambda folder, **_: calls.append(('start', folder)),
    stop_trace=lambda: calls.append('stop'),
  )
  monkeypatch.setattr(curves, 'jax', types.SimpleNamespace(profiler=profiler))
  found = curves._Profile(tmp_path, (15, 25))
  for start in range(0, 50, 10):
    found.begin(start, start + 10)
    calls.append(start)
    found.stepped(start + 10)
  assert calls == [0, ('start', str(tmp_path)), 10, 20, 'stop', 30, 40]


def test_time_left_is_that_of_the_steps_since_the_first(
  monkeypatch, tmp_path, caplog
):
  logging.use_python_logging(quiet=True)
  caplog.set_level('INFO', logger='absl')
  now = [0.0]
  clock = types.SimpleNamespace(monotonic=lambda: now[0])
  for module in (progress, run_progress):
    monkeypatch.setattr(module, 'time', clock)
  config = released_config(max_steps=1000, eval_every=100, batch_size=8)
  history = progress.History()
  with run_progress.within('extractor 1 of 3', more=2):
    line = progress.Progress(config, 0, history, tmp_path, 'clips')
    now[0] = 300.0  # compiling
    line.step(10, 2.5)
    assert caplog.messages == [
      'extractor 1 of 3 · step 10/1,000 · loss 2.50000'
    ]
    for step in (20, 30, 40):
      now[0] += 5
      line.step(step, 2.0)
    assert caplog.messages[1:] == [
      'extractor 1 of 3 · step 40/1,000 · 16 clips/s · loss 2.00000 · at'
      ' most 8 min left, 25 min for this stage'
    ]
    now[0] += 30
    history.evaluations.append({'step': 40, 'loss': 1.0, 'mAP': 0.25})
    line.evaluated()
    assert caplog.messages[-1].endswith('step 40 · validation mAP 0.2500')
    now[0] += 30
    line.step(100, 1.0)
    # 2 steps a second, and nine evaluations of 30 s.
    assert caplog.messages[-1].endswith(
      'best validation mAP 0.2500 at 40 · at most 12 min left, 39 min for this'
      ' stage'
    )
