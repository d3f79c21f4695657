"""What the steps of the thesis's heaviest rows take at full size, none run.

  python -m launch.benchmarks.memory [--rows=dcase_lstm,dcase_l6]

2,084,320 clips of AudioSet; or the 11,073 of FSDKaggle2018 that train or are
scored, of lengths that `launch.full_size` guesses, and 15,127 shifted copies
where a row has those. By `compile().memory_analysis()` of XLA for the device at
hand, GB: `rests` is the state and the table of examples, `step` what comes and
goes in each step. Twelve minutes of processor time on two cores.
"""

import argparse
import importlib
import sys

import jax
import numpy as np

from aec_jax import presets
from aec_jax.datasets.labels import Labels
from aec_jax.features.log_mels import ClipExamples
from aec_jax.input import pieces
from aec_jax.input.batches import Features
from aec_jax.input.folds import Job, Member
from aec_jax.models import extractors
from aec_jax.objective import OBJECTIVES
from aec_jax.run.console import table
from aec_jax.train import classifiers, example_steps, extractor, piece_steps
from aec_jax.train.start import Start
from launch import full_size

# The heaviest rows of Tables 10, 12, 13 (twice), 14 and 15.
ROWS = (
  'audioset_level123', 'dcase_l1', 'dcase_lstm', 'dcase_l6_mixup10', 'dcase_l6',
  'dcase_l10_mixup02',
)  # fmt: skip
_AUDIOSET, _SHIFTED = 2_084_320, 15_127  # clips, copies
_MEMBERS, _EXTRACTORS = 20, 4


def _config(name):
  config = importlib.import_module(f'configs.{name}').get_config()
  config.data_dir = 'FULL'
  return presets.resolve(config)


def _features(config) -> tuple[Features, int]:
  """Of a set's clips, and how many times as many the whole set has."""
  if config.dataset == 'audioset':
    clips, classes, size = 2_000, 527, 10
    x = np.zeros((1, clips * size, 128), np.uint8)
    cut = pieces.padded(np.full(clips, size), size)
    times = _AUDIOSET // clips
  else:
    classes, times = full_size.CLASSES, 1
    count = sum(full_size.CLIPS) + (_SHIFTED if config.pitch_to else 0)
    spec = extractors.front_end(config.extractor)
    counts = np.maximum(1, full_size.seconds(count, 0) // spec.seconds)
    offsets = np.concatenate([[0], np.cumsum(counts.astype(int))])
    x = np.zeros((_EXTRACTORS, offsets[-1], 128), np.float32)
    cut = pieces.cut(offsets, config.segments[0], config.last_piece)
  ids = np.arange(cut.clips[-1] + 1)
  labels = Labels.of_one(ids % classes, classes)
  return Features(x, cut, ids.astype('S'), labels), times


def of_classifiers(config) -> tuple[float, float]:
  """GB that rest, and of a dispatch of steps."""
  features, times = _features(config)
  clips = np.arange(len(features.ids))
  count = 1 if config.dataset == 'audioset' else _MEMBERS
  members = [
    Member(str(m), m % features.embeddings.shape[0], clips, clips, clips)
    for m in range(count)
  ]
  objective = OBJECTIVES[config.objective]
  system = classifiers.Classifiers(config, objective, features, members)
  (plan,) = system.plans([(0, system.most_steps)])
  whole = {
    name: jax.ShapeDtypeStruct((x.shape[0] * times, *x.shape[1:]), x.dtype)
    for name, x in features.table().items()
  }
  state = jax.eval_shape(system.create_state)
  steps = piece_steps.make_steps(system)
  return _gb(steps.lower(state, whole, plan, system.rows(plan)))


def of_fine_tuning(config) -> tuple[float, float]:
  """The same, of an extractor of the experiment."""
  counts = np.maximum(1, full_size.seconds(full_size.CLIPS[0], 0) // 0.96)
  clips = len(counts)
  offsets = np.concatenate([[0], np.cumsum(counts.astype(int))])
  spec = extractors.front_end(config.extractor)
  shape = offsets[-1], spec.frames, spec.bands
  nothing = np.zeros(clips, int)
  data = ClipExamples(
    np.zeros(shape, np.float16), offsets, np.arange(clips).astype('U'),
    Labels.of_one(np.arange(clips) % full_size.CLASSES, full_size.CLASSES),
    nothing, nothing, np.full(clips, 'train'), nothing, nothing, nothing,
    (), [], [], '', None,
  )  # fmt: skip
  config.extractor.init = 'random'
  job = Job('balanced_first', 'balanced', np.arange(clips), np.arange(99))
  tuner = extractor.FineTuner(config, data, job, Start())
  (plan,) = tuner.plans([(0, 1)])
  state = jax.eval_shape(tuner.create_state)
  return _gb(example_steps.make_steps(tuner).lower(state, tuner.resident, plan))


def _gb(lowered) -> tuple[float, float]:
  found = lowered.compile().memory_analysis()
  return tuple(
    x / 1e9 for x in (found.argument_size_in_bytes, found.temp_size_in_bytes)
  )


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--rows', default='fine-tuning,' + ','.join(ROWS))
  lines = [('row', 'rests, GB', 'step, GB')]
  for name in parser.parse_args(argv).rows.split(','):
    if name == 'fine-tuning':
      found = of_fine_tuning(_config('dcase_l6'))
    else:
      found = of_classifiers(_config(name))
    lines.append((name, *(f'{x:.2f}' for x in found)))
    print(*lines[-1], file=sys.stderr, flush=True)
  print(jax.devices()[0].device_kind)
  print(table(lines))
  return 0


if __name__ == '__main__':
  sys.exit(main())
