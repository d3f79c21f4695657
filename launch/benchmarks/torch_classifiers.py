"""3-level attention and the LSTM in PyTorch, as peers of our training step."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

UNITS, CLASSES, DROPOUT, RATE = 600, 527, 0.4, 1e-3


class Hidden(nn.Module):
  """Dense, batch norm, ReLU, dropout."""

  def __init__(self, size):
    super().__init__()
    self.dense, self.norm = nn.Linear(size, UNITS), nn.BatchNorm1d(UNITS)
    self.dropout = nn.Dropout(DROPOUT)

  def forward(self, x):  # (row, unit)
    return self.dropout(torch.relu(self.norm(self.dense(x))))


class Attention(nn.Module):
  """Statement for statement `MultiLevelAttention`, without a mask."""

  def __init__(self, levels=(1, 2, 3)):
    super().__init__()
    sizes = (128, UNITS, UNITS)
    self.levels = levels
    self.hidden = nn.ModuleList(Hidden(size) for size in sizes)
    self.fv = nn.ModuleList(nn.Linear(UNITS, 2 * CLASSES) for _ in levels)
    self.output = nn.Linear(len(levels) * CLASSES, CLASSES)

  def forward(self, x):  # (example, segment, feature)
    pooled, shape = [], x.shape[:2]
    x, dense = x.flatten(0, 1), iter(self.fv)
    for level, hidden in enumerate(self.hidden, 1):
      x = hidden(x)
      if level in self.levels:
        f, v = next(dense)(x).unflatten(0, shape).chunk(2, -1)
        pooled.append((v.softmax(1) * f.relu()).sum(1))
    return self.output(torch.cat(pooled, -1))


class LSTM(nn.Module):
  """As `aec_jax.models.classifiers.LSTM`, without a mask."""

  def __init__(self):
    super().__init__()
    self.lstm = nn.LSTM(128, UNITS, batch_first=True)
    self.norm, self.dropout = nn.BatchNorm1d(UNITS), nn.Dropout(DROPOUT)
    self.output = nn.Linear(UNITS, CLASSES)

  def forward(self, x):
    x = self.lstm(x)[0][:, -1]
    return self.output(self.dropout(self.norm(x)))


MODELS = {
  'level3': lambda: Attention((3,)),
  'attention': Attention,
  'lstm': LSTM,
}


def trainer(
  name: str,
  batches: Iterator[tuple[np.ndarray, np.ndarray]],
  steps: int,
  precision: str = 'float32',
  compiled: bool = False,
  device: str = 'cpu',
) -> Callable[[], None]:
  """A turn of some steps with Adam.

  Args:
    name: a key of `MODELS`.
    batches: embeddings (example, segment, 128) and targets (example, class),
      float32; tensors of the device are taken as they are.
    steps: of a turn.
    precision: 'float32' (TF32 on a GPU), or 'bfloat16' by autocast.
    compiled: by `torch.compile`.
    device: 'cpu' or 'cuda'.
  """
  torch.backends.cuda.matmul.allow_tf32 = True
  torch.backends.cudnn.allow_tf32 = True
  module = MODELS[name]().to(device)
  apply = torch.compile(module) if compiled else module
  fused = {'fused': True} if device == 'cuda' else {}
  optimizer = torch.optim.Adam(module.parameters(), RATE, **fused)
  half = precision == 'bfloat16'

  def turn():
    for _ in range(steps):
      x, targets = (torch.as_tensor(a, device=device) for a in next(batches))
      optimizer.zero_grad()
      with torch.autocast(device, torch.bfloat16, half):
        logits = apply(x)
      loss = nn.functional.binary_cross_entropy_with_logits(
        logits.float(), targets
      )
      loss.backward()
      optimizer.step()
    if device == 'cuda':
      torch.cuda.synchronize()

  return turn


def balanced_rows(targets: np.ndarray, size: int) -> Iterator[list[int]]:
  """Clips of balanced batches as the public baselines take them, class by
  class.

  Args:
    targets: (clip, class) bool.
    size: examples of a batch.
  """
  rng = np.random.default_rng(0)
  lists = [rng.permutation(np.flatnonzero(column)) for column in targets.T]
  pointers, order = [0] * len(lists), []
  while True:
    rows = []
    while len(rows) < size:
      if not order:
        order = list(rng.permutation(len(lists)))
      k = order.pop()
      rows.append(lists[k][pointers[k]])
      pointers[k] = (pointers[k] + 1) % len(lists[k])
      if not pointers[k]:
        rng.shuffle(lists[k])
    yield rows


def usual_batches(
  embeddings: np.ndarray, targets: np.ndarray, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Balanced batches as the public baselines make them, on the host.

  Args:
    embeddings: (clip, segment, feature) uint8.
    targets, size: see `balanced_rows`.
  """
  for rows in balanced_rows(targets, size):
    x = embeddings[rows].astype(np.float32) * np.float32(4 / 255) - 2
    yield x, targets[rows].astype(np.float32)


def resident_batches(
  embeddings: np.ndarray, targets: np.ndarray, size: int, device: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
  """The same batches, gathered on the device, where the data rest."""
  there = [torch.as_tensor(a, device=device) for a in (embeddings, targets)]
  for rows in balanced_rows(targets, size):
    index = torch.as_tensor(np.array(rows), device=device)
    x, y = (a[index].float() for a in there)
    yield x * (4 / 255) - 2, y
