"""Which examples make up each training step: a pure function of (seed, step).

Every plan is one endless stream of draws; step s of batch size B covers its
positions s·B … s·B + B - 1. The stream goes round its groups: round r visits
every group once, in the order of the r-th shuffle of the groups, and a group's
r-th visit draws the (r mod n)-th element of the (r div n)-th shuffle of its n
examples. With one group per class this is the thesis's mini-batch balancing
(§5.1.2), where what does not fit in one batch opens the next; with one group of
all examples it is plain shuffling by epochs.

The shuffles are stateless (a format-preserving cipher over the index), so there
is no sampler state to save, no permutation in memory, and any host can compute
any part of any step.
"""

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator

import numpy as np

# Steps that one core plans at once.
_AT_ONCE = 20


@dataclasses.dataclass(frozen=True)
class Groups:
  """Non-empty groups of example indices, end to end.

  Attributes:
    members: (member,) int32, example indices.
    offsets: (group + 1,) int64, where each group starts in `members`.
  """

  members: np.ndarray
  offsets: np.ndarray

  @classmethod
  def of_all(cls, examples: int) -> 'Groups':
    """One group of all examples: unbalanced sampling."""
    return cls(
      np.arange(examples, dtype=np.int32), np.array([0, examples], np.int64)
    )

  @classmethod
  def of_classes(cls, members: np.ndarray, offsets: np.ndarray) -> 'Groups':
    """One group a class, classes without examples left out."""
    filled = np.append(np.diff(offsets) > 0, True)
    return cls(members.astype(np.int32), offsets[filled].astype(np.int64))


@dataclasses.dataclass(frozen=True)
class Plan:
  """The stream of training examples.

  With mixup (thesis eq. 27) the odd positions are mixed: two draws, the second
  from a stream of its own, and λ ~ Beta(α, α). So plain and mixed examples are
  equally many, as in §5.2.4, and both are balanced.

  Attributes:
    groups: what is drawn from.
    batch_size: examples a step, over all hosts.
    seed: of all the shuffles, 0 to 2^31 - 1.
    mixup_alpha: α; 0 mixes nothing.
  """

  groups: Groups
  batch_size: int
  seed: int
  mixup_alpha: float = 0.0

  def spans(
    self,
    spans: Iterable[tuple[int, int]],
    host: int = 0,
    hosts: int = 1,
    size: int = 0,
  ) -> Iterator[dict[str, np.ndarray]]:
    """What `dataset` has, as numpy arrays; all cores share a long span."""
    spans = list(spans)
    parts = [
      [(at, min(at + _AT_ONCE, stop)) for at in range(start, stop, _AT_ONCE)]
      for start, stop in spans
    ]
    every = itertools.chain.from_iterable(parts)
    found = iter(self.dataset(every, host, hosts, size).as_numpy_iterator())
    for some in parts:
      plans = list(itertools.islice(found, len(some)))
      yield {k: np.concatenate([p[k] for p in plans]) for k in plans[0]}

  def dataset(
    self,
    spans: Iterable[tuple[int, int]],
    host: int = 0,
    hosts: int = 1,
    size: int = 0,
  ):
    """The plan of several spans of steps as a `tf.data.Dataset`.

    Args:
      spans: (start, stop) steps of each element; stop is excluded.
      host: which slice of every batch to plan.
      hosts: into how many equal slices a batch is cut.
      size: what a batch is filled up to; 0 for its own size.

    Returns:
      A dataset with an element a span: {'first': (step, example) int32}, and
      with mixup 'second' alike and 'weight' (step, example) float32, the λ of
      'first'. `example` runs over the host's slice of the batch. Where batches
      are filled up there is 'valid' (step, example) bool.

    Raises:
      ValueError: the hosts cannot share the batch equally.
    """
    import tensorflow as tf

    size = size or self.batch_size
    if size % hosts:
      raise ValueError(f'{hosts} hosts cannot share a batch of {size}')
    share = size // hosts
    tables = _Tables(self.groups)

    def plan(span):
      steps = tf.range(span[0], span[1])
      within = tf.range(host * share, (host + 1) * share, dtype=tf.int64)
      real = tf.minimum(within, self.batch_size - 1)
      positions = steps[:, None] * self.batch_size + real  # (step, example)
      out = self._draw(tables, positions)
      if size > self.batch_size:
        valid = within[None] < self.batch_size
        out['valid'] = tf.repeat(valid, tf.shape(steps)[0], 0)
      return out

    # Nothing in it is for AutoGraph to translate, which takes half a second.
    as_written = tf.autograph.experimental.do_not_convert(plan)
    spans = np.asarray(list(spans), np.int64).reshape(-1, 2)
    return (
      tf.data.Dataset.from_tensor_slices(spans)
      .map(as_written, max(2, os.cpu_count() or 1), deterministic=True)
      .prefetch(2)
    )

  def _draw(self, tables, positions):
    import tensorflow as tf

    shape, flat = tf.shape(positions), tf.reshape(positions, [-1])
    first = tables.draw(flat, self.seed, stream=0)
    if not self.mixup_alpha:
      return {'first': tf.reshape(first, shape)}
    # Only the odd positions are mixed: draw for them alone.
    mixed = tf.where(flat % 2 == 1)  # (mixed, 1)
    second = tf.tensor_scatter_nd_update(
      first,
      mixed,
      tables.draw(tf.gather_nd(flat, mixed), self.seed, stream=1),
    )
    weight = tf.where(flat % 2 == 1, self._weights(positions), 1.0)
    return {
      'first': tf.reshape(first, shape),
      'second': tf.reshape(second, shape),
      'weight': tf.reshape(weight, shape),
    }

  def _weights(self, positions):
    """λ of each position, flat: drawn a step at a time, whatever the slice."""
    import tensorflow as tf

    def of_step(row):
      step = row[0] // self.batch_size
      # float64: at α = 0.1 float32 gammas underflow to 0 / 0.
      pair = tf.random.stateless_gamma(
        [2, self.batch_size],
        seed=tf.stack([tf.constant(self.seed, tf.int64), step]),
        alpha=tf.constant(self.mixup_alpha, tf.float64),
        dtype=tf.float64,
      )
      weight = tf.cast(pair[0] / (pair[0] + pair[1]), tf.float32)
      return tf.gather(weight, row - step * self.batch_size)

    weights = tf.map_fn(of_step, positions, fn_output_signature=tf.float32)
    return tf.reshape(weights, [-1])


class _Tables:
  """The groups as tensors, and the draws from them."""

  def __init__(self, groups: Groups):
    import tensorflow as tf

    self.members = tf.constant(groups.members)
    self.starts = tf.constant(groups.offsets[:-1])
    self.counts = tf.constant(np.diff(groups.offsets))

  def draw(self, positions, seed: int, stream: int):
    """Example indices (draw,) int32 at positions (draw,) int64 of a stream."""
    import tensorflow as tf

    groups = self.counts.shape[0]
    rounds = positions // groups
    # The second seed word is negative for the order of the groups, and not
    # negative for the orders within them, so that no two shuffles coincide.
    order = tf.fill(tf.shape(positions), tf.constant(-1 - stream, tf.int64))
    group = _shuffle(positions % groups, groups - 1, seed, order, rounds)
    count = tf.gather(self.counts, group)
    element = _shuffle(
      rounds % count,
      count - 1,
      seed,
      group + stream * groups,
      rounds // count,
    )
    return tf.gather(self.members, tf.gather(self.starts, group) + element)


def _shuffle(index, max_index, seed, word1, word2):
  """Where `index` goes in a shuffle of 0 … max_index; all int64 (draw,)."""
  import tensorflow as tf

  words = tf.stack(
    [tf.fill(tf.shape(index), tf.cast(seed, tf.int64)), word1, word2], 1
  )
  # The raw op: tf.random.experimental.index_shuffle pads a matrix of seeds
  # along the wrong axis (TensorFlow 2.21).
  return tf.raw_ops.RandomIndexShuffle(
    index=index,
    seed=words,
    max_index=tf.broadcast_to(tf.cast(max_index, tf.int64), tf.shape(index)),
    rounds=4,
  )
