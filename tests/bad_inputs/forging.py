"""Makes a bundle, and forges it: changes with the digests that they need."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import jax
import numpy as np

from aec_jax import models, presets
from aec_jax.bundle import network, store
from aec_jax.models import convert, vggish
from configs import audioset_level3, dcase_l6


def make_bundle(folder: Path, module=audioset_level3) -> Path:
  """A bundle of one random classifier, and for DCASE one random extractor."""
  config, extractors = presets.resolve(module.get_config()), {}
  config.model.hidden = (8, 8, 8)
  if module is dcase_l6:
    config.extractor.width, config.extractor.batch_norm = 0.01, True
    hears = vggish.VGGish(width=0.01, batch_norm=True)
    extractors['original'] = _random(hears, np.zeros((1, *convert.EXAMPLE)))
  x, mask = np.zeros((1, 10, 128)), np.ones((1, 10), bool)
  variables = _random(models.classifier(config.model, 3), x, mask)
  variables = jax.tree.map(lambda x: x[None], variables)
  of_extractors = np.zeros(1, np.int32)
  member = network.Ensemble(10, 'mask', of_extractors, ('a',), variables)
  folder.mkdir()
  results = {
    'experiment': 'x', 'metrics': {}, 'expected': {}, 'versions': {},
    'n_examples': 1, 'n_train_examples': 1, 'dataset_fingerprint': '',
  }  # fmt: skip
  store.write(folder, config, results, ('a', 'b', 'c'), extractors, [member])
  return folder / 'bundle'


def _random(module, *inputs) -> dict:
  """Variables of a module, without the time to compile its own."""
  shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: rng.uniform(0.1, 1, x.shape).astype(np.float32), dict(shapes)
  )


def change_info(folder: Path, **changes) -> None:
  """Changes fields of files.json; None removes one."""
  path = folder / 'bundle.json'
  info = json.loads(path.read_text()) | changes
  kept = {k: v for k, v in info.items() if v is not None}
  path.write_text(json.dumps(kept))


def replace_weights(folder: Path, data: bytes) -> None:
  """Other bytes of weights.npz, with the digest that they need."""
  (folder / 'weights.npz').write_bytes(data)
  files = json.loads((folder / 'bundle.json').read_text())['files']
  digest = hashlib.sha256(data).hexdigest()
  change_info(folder, files=files | {'weights.npz': digest})


def forge(folder: Path, save=np.savez, **changes) -> None:
  """Arrays changed, put in, or left out (None), with the digest they need."""
  with np.load(folder / 'weights.npz', allow_pickle=False) as file:
    arrays = dict(file) | changes
  out = io.BytesIO()
  save(out, **{k: v for k, v in arrays.items() if v is not None})
  replace_weights(folder, out.getvalue())


def lie_about_size(folder: Path, array: np.ndarray, name: str) -> None:
  """Puts in an array whose header tells of a petabyte."""
  header = {'descr': '<f4', 'fortran_order': False, 'shape': (10**15,)}
  out = io.BytesIO()
  np.lib.format.write_array_header_1_0(out, header)
  data = out.getvalue() + array.tobytes()
  weights = folder / 'weights.npz'
  with zipfile.ZipFile(weights) as old:
    entries = {n: old.read(n) for n in old.namelist()}
  out = io.BytesIO()
  with zipfile.ZipFile(out, 'w') as new:
    for entry, content in (entries | {f'{name}.npy': data}).items():
      new.writestr(entry, content)
  replace_weights(folder, out.getvalue())
