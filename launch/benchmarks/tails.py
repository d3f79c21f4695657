"""What the ends of recordings add, which are shorter than an example.

  python -m launch.benchmarks.tails --bundle=DIR --data=FSDKAGGLE2018

`config.extractor.tail` drops them, as VGGish does, or repeats the recording's
beginning after them. The extractors of a bundle that has not seen the clips
embed them both ways; a ridge classifier on each clip's mean and maximum is
scored in five folds, drawn twenty times, the same for both. Needs scikit-learn.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aec_jax import presets
from aec_jax.bundle import store
from aec_jax.features import embeddings, log_mels
from aec_jax.run.console import table
from configs import dcase_l6

DRAWS, FOLDS, ALPHA = 20, 5, 1000.0


def embedded(
  stored: store.Stored, data: str, tail: str, cache_dir: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Features (clip, number), labels (clip,) and numbers of examples (clip,)."""
  config = dcase_l6.get_config()
  config.data_dir = data
  config = presets.resolve(config)
  names = 'model', 'width', 'batch_norm', 'embedding_activation', 'dtype'
  section = {name: stored.info['extractor'][name] for name in names}
  config.extractor.update(section, tail=tail)
  clips = log_mels.list_clips(config, cache_dir)
  clips = log_mels.prepare(config, clips, cache_dir)
  classes = len(stored.info['classes'])
  rows = [
    embeddings.embed(config.extractor, classes, clips, x, f'{i}', cache_dir)
    for i, x in enumerate(stored.extractors)
  ]
  whole = np.concatenate(rows, 1)
  parts = np.split(whole, clips.offsets[1:-1])
  features = [np.concatenate([part.mean(0), part.max(0)]) for part in parts]
  counts = np.diff(clips.offsets)
  return np.stack(features), np.asarray(clips.labels.ids), counts


def accuracies(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """(draw,) means over the folds."""
  model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=ALPHA))
  return np.array(
    [
      cross_val_score(
        model,
        features,
        labels,
        cv=StratifiedKFold(FOLDS, shuffle=True, random_state=seed),
      ).mean()
      for seed in range(DRAWS)
    ]
  )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--bundle', required=True, type=Path)
  parser.add_argument('--data', required=True)
  options = parser.parse_args()
  stored, found = store.read(options.bundle), {}
  rows = [('tail', 'examples', 'accuracy', 'deviation of draws')]
  with tempfile.TemporaryDirectory() as folder:
    for tail in ('drop', 'repeat'):
      features, labels, counts = embedded(
        stored, options.data, tail, Path(folder)
      )
      some = np.flatnonzero(np.bincount(labels)[labels] >= FOLDS)
      found[tail] = accuracies(features[some], labels[some])
      rows.append(
        (tail, f'{counts[some].sum():,}', f'{found[tail].mean():.4f}',
         f'{found[tail].std(ddof=1):.4f}')
      )  # fmt: skip
  more = found['repeat'] - found['drop']
  print(table(rows))
  print(
    f'repeat - drop: {more.mean():+.4f}, deviation {more.std(ddof=1):.4f};'
    f' better in {int((more > 0).sum())} of {DRAWS} draws of {len(some)} clips'
  )


if __name__ == '__main__':
  main()
