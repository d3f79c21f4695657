"""AP and AUC of AudioSet's evaluation set: this package and scikit-learn.

  python -m launch.benchmarks.metrics

Takes under a minute on two cores. Scores and labels are synthetic, with
AudioSet's size, its some 2.5 labels a clip and its uneven classes.
"""

import argparse

import numpy as np
import sklearn
from sklearn.metrics import average_precision_score, roc_auc_score

from aec_jax import metrics
from launch.benchmarks import timing

CLIPS, CLASSES, LABELS_PER_CLIP = 20_371, 527, 2.5


def synthetic_scores(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Targets, bool, and probabilities, float32; both (clip, class)."""
  rng = np.random.default_rng(seed)
  share = 1 / np.arange(2, CLASSES + 2)  # Zipf, as AudioSet's labels nearly are
  share *= LABELS_PER_CLIP / share.sum()
  targets = rng.random((CLIPS, CLASSES)) < share
  targets[:2] = [[True], [False]]  # Every class has both, as in AudioSet.
  logits = rng.standard_normal(targets.shape, np.float32) + 2 * targets
  return targets, 1 / (1 + np.exp(3 - logits))


def theirs(targets, scores):
  return (
    average_precision_score(targets, scores, average=None),
    roc_auc_score(targets, scores, average=None),
  )


def main():
  argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
  targets, scores = synthetic_scores()
  np.testing.assert_allclose(
    metrics.ap_and_auc(targets, scores),
    theirs(targets, scores),
    rtol=0,
    atol=1e-6,
  )
  rows = {
    'aec_jax.metrics': lambda: metrics.ap_and_auc(targets, scores),
    f'scikit-learn {sklearn.__version__}': lambda: theirs(targets, scores),
  }
  times = timing.interleaved(rows)
  *_, base = times.values()
  print(
    f'AP and AUC of {CLIPS:,} clips × {CLASSES} classes, float32; equal to'
    f' 1e-6.\nMedians of five interleaved runs on {timing.hardware()}.\n'
  )
  print('| | wall s | processor s | wall ratio | processor ratio |')
  print('|---|---|---|---|---|')
  for name, seconds in times.items():
    print(
      f'| {name} | {seconds.wall:.2f} | {seconds.processor:.2f}'
      f' | {base.wall / seconds.wall:.1f}'
      f' | {base.processor / seconds.processor:.1f} |'
    )


if __name__ == '__main__':
  main()
