"""Several hosts that run the same command and train one model.

Each plans and gathers only its slice of every batch; the state is the same on
all devices. Host 0 alone writes to the work folder and reads checkpoints.
"""

import os
from collections.abc import Callable, Sequence

import jax
import numpy as np
from absl import flags, logging
from jax.experimental import multihost_utils

from aec_jax.errors import UserError

# Seconds that host 0 may take for what the others wait for.
_LONGEST = 7 * 24 * 3600
# Bytes that are sent at once.
_PART = 2**28
# What a list begins with that was a dictionary.
_KEYS = '{}'


def define_flags() -> None:
  """The flags that `initialize` takes."""
  flags.DEFINE_string(
    'coordinator', None, "HOST:PORT of process 0; 'auto' on a TPU pod."
  )
  flags.DEFINE_integer('num_processes', None, 'How many hosts there are.')
  flags.DEFINE_integer('process_id', None, 'Which of them this is, 0 and up.')


def initialize(options) -> None:
  """Joins the other hosts; does nothing where there are none.

  By hand all three are given. Under `srun` with several tasks, and with
  'auto' on a TPU pod, JAX finds out for itself. To be called before JAX
  looks at its devices.

  Args:
    options: `coordinator`, `num_processes` and `process_id`, each may be None.

  Raises:
    UserError: the numbers make no sense or the others cannot be reached.
  """
  address = options.coordinator
  processes, process = options.num_processes, options.process_id
  by_hand = address not in (None, 'auto')
  if {processes is not None, process is not None} != {by_hand}:
    raise UserError(
      '--coordinator=HOST:PORT, --num_processes and --process_id go together'
    )
  if by_hand and not 0 <= process < processes:
    raise UserError(
      f'--process_id is {process}; it must be 0 to {processes - 1}'
    )
  tasks = int(os.environ.get('SLURM_STEP_NUM_TASKS', 1))
  try:
    if by_hand:
      jax.distributed.initialize(address, processes, process)
    elif address or tasks > 1:
      jax.distributed.initialize(local_device_ids=_slurm_gpus())
    else:
      return
  except (RuntimeError, ValueError) as error:
    reason = str(error).strip().splitlines()[0]
    raise UserError(f'cannot join the other hosts: {reason}') from error
  if not is_first():
    logging.set_verbosity(logging.WARNING)
  logging.info('%s hosts, %s devices', jax.process_count(), jax.device_count())


def _slurm_gpus() -> list[int] | None:
  """All GPUs of a task that has its node to itself.

  JAX would give each task one of them.
  """
  gpus = int(os.environ.get('SLURM_GPUS_ON_NODE', 0))
  alone = os.environ.get('SLURM_STEP_TASKS_PER_NODE', '').split('(')[0] == '1'
  return list(range(gpus)) if gpus and alone else None


def is_first() -> bool:
  """Whether this is the host that writes."""
  return jax.process_index() == 0


def lead(function: Callable):
  """Calls a function on host 0 alone; all hosts wait for what comes of it.

  Args:
    function: without arguments; returns what dictionaries by strings and lists
      are made of, down to numbers, strings and numpy arrays.

  Returns:
    What it returned; on several hosts tuples are lists.

  Raises:
    UserError: on all hosts, where it did on host 0.
  """
  if jax.process_count() == 1:
    return function()
  from flax import serialization
  from orbax.checkpoint import multihost

  message = {}
  if is_first():
    try:
      message = {'value': _plain(function())}
    except UserError as error:
      message = {'error': str(error)}
  # A barrier first: on CPUs a broadcast waits for 30 seconds and no longer.
  multihost.get_barrier_sync_fn()(key='lead', timeout_ms=_LONGEST * 1000)
  text = np.frombuffer(serialization.msgpack_serialize(message), np.uint8)
  message = serialization.msgpack_restore(_sent(text))
  if 'error' in message:
    raise UserError(message['error'])
  return _restored(message['value'])


def _sent(text: np.ndarray) -> bytes:
  """Host 0's bytes, a part at a time, however many they are."""
  # Of a length JAX sends 32 bits.
  high, low = _broadcast(np.array(divmod(len(text), _PART), np.int32)).tolist()
  parts = []
  for i, length in enumerate([_PART] * high + [low] * (low > 0)):
    part = text[i * _PART :][:length]
    parts.append(np.asarray(_broadcast(np.resize(part, length))).tobytes())
  return b''.join(parts)


def _plain(value):
  """The same of lists alone, which keep their order: a dictionary, whose keys
  would be sorted, becomes [_KEYS, [key, value], …].
  """
  if isinstance(value, dict):
    return [_KEYS, *([key, _plain(some)] for key, some in value.items())]
  if isinstance(value, list | tuple):
    return [_plain(some) for some in value]
  return value


def _restored(value):
  """What `_plain` was given, with lists in place of tuples."""
  if not isinstance(value, list):
    return value
  if value and isinstance(value[0], str) and value[0] == _KEYS:
    return {key: _restored(some) for key, some in value[1:]}
  return [_restored(some) for some in value]


def _broadcast(array: np.ndarray) -> np.ndarray:
  """Host 0's values of an array, which has one shape on all hosts."""
  return multihost_utils.broadcast_one_to_all(array)


def largest(values: Sequence[int]) -> tuple[int, ...]:
  """The largest that any host has in each place of a list as long on all."""
  if jax.process_count() == 1:
    return tuple(values)
  found = multihost_utils.process_allgather(np.array(values, np.int32))
  return tuple(found.max(0).tolist())


def check_same(value, complaint: str) -> None:
  """Raises `UserError` on all hosts where one has another value than host 0.

  Args:
    value: that `lead` can send, and that can be compared.
    complaint: what the error says.
  """
  differs = _restored(_plain(value)) != lead(lambda: value)
  if largest([differs])[0]:
    raise UserError(complaint)
