"""How often programs are compiled: evaluations and steps once."""

import contextlib

import jax
import numpy as np
from train_data import released, released_config, released_features

from aec_jax.run.devices import replicate
from aec_jax.train.progress import History

_TRACED = '/jax/core/compile/jaxpr_to_mlir_module_duration'


@contextlib.contextmanager
def traced():
  """The names of what is lowered meanwhile, to be compiled."""
  found = []

  def heard(event, seconds, **about):
    del seconds
    if event == _TRACED:
      found.append(about.get('fun_name', ''))

  jax.monitoring.register_event_duration_secs_listener(heard)
  try:
    yield found
  finally:
    jax.monitoring.unregister_event_duration_listener(heard)


def test_evaluations_are_compiled_once_whatever_they_score():
  system = released(released_config(), released_features(clips=21))
  state = replicate(system.create_state())
  # (device, step, member, example)
  plans = [{'first': np.full((1, 1, 1, 8), i, np.int32)} for i in range(2)]
  with traced() as first:
    system.evaluate(state, History())()
    state, _ = system.steps(state, plans[0])
  assert first  # what is listened to is heard
  with traced() as later:
    state, _ = system.steps(state, plans[1])
    system.evaluate(state, History())()
    # Two blocks and a rest, one block alone, less than one.
    for clips in (21, 8, 5):
      system.clip_values(state.members.variables(), [np.arange(clips)])
  assert later == []
