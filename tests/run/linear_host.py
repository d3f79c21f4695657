"""The main command, with an extractor that compiles in no time.

python -m tests.run.linear_host --config.extractor.model=linear …
"""

import flax.linen as nn

from aec_jax import main
from aec_jax.models.extractors import EXTRACTORS, Extractor


class Linear(nn.Module):
  """Log-mel (example, frame, band) -> embeddings (example, 8)."""

  @nn.compact
  def __call__(self, x, mask=None, train=False):
    return nn.Dense(8)(x.mean(1))


ROW = Extractor(lambda c, classes, axis_name: Linear())

if __name__ == '__main__':
  EXTRACTORS['linear'] = ROW
  main.run()
