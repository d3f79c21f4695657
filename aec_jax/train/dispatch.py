"""How steps are cut into dispatches, and their plans made ahead."""

import itertools
from collections.abc import Iterator
from concurrent import futures

from aec_jax.run import termination
from aec_jax.run.devices import on_cpu

# Of which the plans are one tf.data pipeline.
_SPANS = 10_000
# What the plans of one dispatch may take of an accelerator's memory.
_PLANS_BYTES = 2**28


def most_steps(
  settings, few: int, plan_bytes: int, backend: str | None = None
) -> int:
  """How many steps may go in one dispatch.

  `steps_per_dispatch` where it is given. Else few on a CPU, and as many on an
  accelerator, which would wait for the next, as there is memory for the plans.

  Args:
    settings: with `steps_per_dispatch`.
    few: on a CPU.
    plan_bytes: of what a step's plan takes on the device.
    backend: as JAX names it; None: the one in use.
  """
  if settings.steps_per_dispatch:
    return settings.steps_per_dispatch
  if on_cpu(backend):
    return few
  return max(1, _PLANS_BYTES // plan_bytes)


def spans(start: int, settings, most: int) -> Iterator[tuple[int, int]]:
  """(start, stop) of each dispatch from step `start` to `max_steps`.

  A function of `start` alone wherever an evaluation or a checkpoint falls, so
  that a resumed run dispatches what the unbroken one did.
  """
  while start < settings.max_steps:
    stop = min(start + most, settings.max_steps)
    for every in (settings.eval_every, settings.checkpoint_every):
      stop = min(stop, (start // every + 1) * every)
    yield start, stop
    start = stop


def planned(system, todo, signals: termination.Held) -> Iterator:
  """Pairs of a span and its plan, waited for so that a signal is heard.

  A thread makes the next plan while the steps of the last are under way.

  Args:
    system: a `loop.System`.
    todo: the spans.
    signals: that may come.

  Raises:
    termination.Interrupted: one comes while a plan is waited for.
  """
  plans = _planned(system, todo)
  following = termination.begin(lambda: next(plans, None))
  try:
    while (entry := signals.wait(following.result)) is not None:
      following = termination.begin(lambda: next(plans, None))
      yield entry
  finally:
    if not signals:  # whatever it takes its plans from is left in order
      futures.wait([following])


def _planned(system, todo):
  """Pairs of a span and its plan, however many steps `max_steps` allows."""
  todo = iter(todo)
  while some := list(itertools.islice(todo, _SPANS)):
    yield from zip(some, system.plans(some), strict=True)
