"""Random damage for everything that reads files; `tests.bad_inputs` calls it.

Each check takes a good file's bytes, damaged, and fails if reading them does
anything but succeed with sound values or raise `UserError`.
"""

import contextlib
import hashlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import soundfile
from hypothesis import strategies as st

from aec_jax.audio import waveform
from aec_jax.bundle import store as bundle_lib
from aec_jax.datasets import audioset_tfrecord, lists, synthetic_audioset
from aec_jax.errors import UserError
from aec_jax.features import embeddings
from aec_jax.train.checkpoint import Checkpoints

CLASSES = ('a', 'b', 'c', 'd')
HEADING = b'fname,label,manually_verified\n'


@st.composite
def damaged(draw, good: bytes) -> bytes:
  """Some bytes changed, put in, or cut off; now and then anything at all."""
  if draw(st.integers(0, 9)) == 0:
    return draw(st.binary(max_size=200))
  data = bytearray(good)
  for _ in range(draw(st.integers(1, 4))):
    place = draw(st.integers(0, max(0, len(data) - 1)))
    kind = draw(st.sampled_from(('change', 'insert', 'cut', 'repeat')))
    if kind == 'change':
      data[place : place + 1] = draw(st.binary(min_size=1, max_size=4))
    elif kind == 'insert':
      data[place:place] = draw(st.binary(max_size=8))
    elif kind == 'cut':
      del data[place:]
    else:
      data += data[place:]
  return bytes(data)


def tfrecord(path: Path, data: bytes) -> None:
  """The fast reader and the careful one take the same, or say what is wrong."""
  path.write_bytes(data)
  careful = audioset_tfrecord._read_carefully(str(path), CLASSES)
  found = audioset_tfrecord._read([str(path)], CLASSES, 'skip')
  assert found.skipped == careful.skipped
  assert found.fingerprint() == careful.fingerprint()
  assert len(found) or found.skipped
  assert (found.n_segments > 0).all()
  assert (found.label_ids < len(CLASSES)).all()


def csv(path: Path, data: bytes) -> None:
  path.write_bytes(data)
  columns = {'file': ('fname',), 'label': ('label',)}
  optional = {'verified': ('manually_verified',)}
  rows = lists.read_list(str(path), columns, optional)
  assert rows and all(row['file'] and row['label'] for row in rows)


def wav(path: Path, data: bytes) -> None:
  path.write_bytes(data)
  samples, rate = waveform.read(path)
  assert samples.ndim == 1 and samples.size and rate > 0
  assert samples.dtype == np.float32 and np.isfinite(samples).all()
  waveform.split_examples(waveform.prepare(samples[:48_000], rate))


def weights(path: Path, data: bytes) -> None:
  """Of an extractor in the cache."""
  (path.parent / 'variables.npz').write_bytes(data)
  embeddings.load_variables(path.parent)


def checkpoint(path: Path, data: bytes, name: str, good: dict) -> None:
  """What is restored is what was saved."""
  (path.parent / name).write_bytes(data)
  with contextlib.closing(Checkpoints(path.parent / 'saved')) as checkpoints:
    state, _ = checkpoints.restore(good)
  for key, value in good.items():
    np.testing.assert_array_equal(state[key], value)


def bundle(path: Path, data: bytes, folder: Path) -> None:
  (folder / 'bundle.json').write_bytes(data)
  bundle_lib.load(folder)


def forged(path: Path, data: bytes, folder: Path, info: dict) -> None:
  """Weights of a bundle, with the digest that they need."""
  (folder / 'weights.npz').write_bytes(data)
  digest = hashlib.sha256(data).hexdigest()
  files = info['files'] | {'weights.npz': digest}
  bundle(path, json.dumps(info | {'files': files}).encode(), folder)


def good_files(folder: Path) -> dict[str, tuple[Callable, bytes]]:
  """{name: (check of (path, damaged bytes), good bytes)}."""
  rng = np.random.default_rng(0)
  prototypes = rng.standard_normal((4, 128), np.float32)
  records = synthetic_audioset._clips(rng, prototypes, 3, 'eval')
  audioset_tfrecord.write(records, str(folder / 'good.tfrecord'))
  sound, variables = io.BytesIO(), io.BytesIO()
  soundfile.write(sound, rng.standard_normal(400) / 9, 8000, format='WAV')
  np.savez(variables, **{'params/vggish/w': np.ones((3, 2), np.float32)})
  state = {'w': rng.standard_normal((4, 3)).astype(np.float32)}
  with contextlib.closing(Checkpoints(folder / 'saved')) as checkpoints:
    checkpoints.save(1, state, {'evaluations': []})
  found = {
    'TFRecord': (tfrecord, (folder / 'good.tfrecord').read_bytes()),
    'CSV': (csv, HEADING + b'a.wav,low,1\nb.wav,"high, ""er""",0\n'),
    'wav': (wav, sound.getvalue()),
    'weights': (weights, variables.getvalue()),
  }
  latest = folder / 'saved' / 'latest' / '1'
  for path in sorted(p for p in latest.rglob('*') if p.stat().st_size):
    if path.is_file():
      name = str(path.relative_to(folder))
      # Damage is made good again, so that there is one at a time.
      found[f'checkpoint {path.relative_to(latest)}'] = (
        _restoring(checkpoint, path, name=name, good=state),
        path.read_bytes(),
      )
  return found


def bundle_files(folder: Path) -> dict[str, tuple[Callable, bytes]]:
  """As `good_files`, of a bundle that may be damaged."""
  path, weights = folder / 'bundle.json', folder / 'weights.npz'
  info = json.loads(path.read_bytes())
  forge = _restoring(forged, weights, folder=folder, info=info)
  return {
    'bundle.json': (
      _restoring(bundle, path, folder=folder),
      path.read_bytes(),
    ),
    'weights.npz': (_restoring(forge, path), weights.read_bytes()),
  }


def _restoring(check, path, **options):
  good = path.read_bytes()

  def run(where, data):
    try:
      check(where, data, **options)
    finally:
      path.write_bytes(good)

  return run


def try_one(check: Callable, good: bytes, path: Path, examples: int, seed: int):
  """Damages a file `examples` times; raises what reading it should not."""

  @hypothesis.seed(seed)
  @hypothesis.settings(
    max_examples=examples,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  @hypothesis.given(damaged(good))
  def run(data):
    with contextlib.suppress(UserError):
      check(path, data)

  run()


def run(seconds: float, folder: Path, bundle: Path) -> int:
  """Goes round all readers until time is up; how many inputs were tried."""
  files = good_files(folder) | bundle_files(bundle)
  end, seed = time.monotonic() + seconds, 0
  while time.monotonic() < end:
    for check, good in files.values():
      try_one(check, good, folder / 'fuzzed', 50, seed)
    seed += 1
  return 50 * seed * len(files)
