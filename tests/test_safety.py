"""Nothing that is read can run code or write outside its folder."""

import ast
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [p for part in ('aec_jax', 'configs', 'launch')
         for p in sorted((ROOT / part).rglob('*.py'))]  # fmt: skip
_UNSAFE_MODULES = {'pickle', 'dill', 'cloudpickle', 'joblib', 'marshal',
                   'shelve', 'yaml', 'torch'}  # fmt: skip
# The benchmarks time PyTorch, and load nothing with it.
_PEERS = {ROOT / 'launch' / 'benchmarks': {'torch'}}
_UNSAFE_CALLS = {'eval', 'exec', 'compile', '__import__', 'os.system',
                 'os.popen', 'tempfile.mktemp', 'torch.load'}  # fmt: skip
_UNPACKERS = {'extractall', 'unpack_archive'}


def name_of(node) -> str:
  """'np.load' of the expression np.load."""
  if isinstance(node, ast.Attribute):
    return f'{name_of(node.value)}.{node.attr}'
  return getattr(node, 'id', '')


def imports(tree):
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name.split('.')[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield (node.module or '').split('.')[0]


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_unpickles_or_evaluates(path):
  tree = ast.parse(path.read_text(encoding='utf-8'))
  unsafe = _UNSAFE_MODULES - _PEERS.get(path.parent, set())
  assert not set(imports(tree)) & unsafe
  for node in ast.walk(tree):
    if not isinstance(node, ast.Call):
      continue
    name, line = name_of(node.func), f'{path}:{node.lineno}'
    options = {k.arg: k.value for k in node.keywords}
    assert name not in _UNSAFE_CALLS, line
    assert name.rpartition('.')[2] not in _UNPACKERS, line
    if name == 'np.load':
      assert 'allow_pickle' in options, line
    if 'allow_pickle' in options:
      assert options['allow_pickle'].value is False, line
    shell = options.get('shell')
    assert shell is None or shell.value is False, line


def test_an_archive_writes_nothing_outside_its_folder(tmp_path):
  """The builders unpack through TFDS."""
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core.download import extractor

  path = tmp_path / 'evil.zip'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('good/a.wav', b'sound')
    for name in ('../up.txt', '../../upper.txt', 'good/../../side.txt',
                 f'{tmp_path}/absolute.txt'):  # fmt: skip
      archive.writestr(name, b'evil')
  method = tfds.download.ExtractMethod.ZIP
  unpacking = extractor.get_extractor()
  with unpacking.tqdm():
    unpacked = Path(unpacking.extract(path, method, tmp_path / 'out').get())
  inside = [p for p in unpacked.rglob('*') if p.is_file()]
  written = {p for p in tmp_path.rglob('*') if p.is_file()} - {path}
  assert written == set(inside)
  assert unpacked / 'good' / 'a.wav' in written
  assert not [p for p in tmp_path.parent.glob('*.txt')]
