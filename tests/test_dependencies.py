"""What is required is imported, and what is imported is required."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
OURS = {'aec_jax', 'configs', 'launch', 'tests'}
# Imported by others that don't say so (requirements.txt says by which), or
# taken by pip to fit another one's version.
UNSAID = {'importlib-resources', 'tensorboard', 'jaxlib'}
BENCHMARKS = ROOT / 'launch' / 'benchmarks'
# Of some benchmarks, which say so in their first lines; keras comes with
# TensorFlow, gradio-client with gradio.
PEERS = {'torch', 'resampy', 'keras', 'gradio-client'}
# Programs and plugins of the tests.
TOOLS = {'mypy', 'pytest-xdist', 'ruff', 'ipykernel'}


def required(text: str) -> set[str]:
  lines = [line.split('#')[0].strip() for line in text.splitlines()]
  return {canonical(re.split(r'[\[<>=!~;]', x)[0]) for x in lines if x}


def canonical(name: str) -> str:
  return re.sub(r'[-_.]+', '-', name).lower()


def imported(texts: list[str]) -> set[str]:
  """The distributions that sources import, by name."""
  modules = set()
  local = {p.stem for p in (ROOT / 'tests').rglob('*.py')}
  for text in texts:
    for node in ast.walk(ast.parse(text)):
      if isinstance(node, ast.Import):
        modules |= {alias.name.split('.')[0] for alias in node.names}
      elif isinstance(node, ast.ImportFrom) and not node.level:
        modules.add((node.module or '').split('.')[0])
  modules -= OURS | local | set(sys.stdlib_module_names) | {'__main__'}
  of = importlib.metadata.packages_distributions()
  return {canonical(of.get(m, [m])[0]) for m in modules}


def sources(*folders: str) -> list[str]:
  paths = [p for f in folders for p in sorted((ROOT / f).rglob('*.py'))]
  return [
    p.read_text('utf-8')
    for p in paths
    if p.parent != BENCHMARKS or 'launch/benchmarks' in folders
  ]


def tour() -> list[str]:
  found = nbformat.read(ROOT / 'docs/tour.ipynb', 4)
  return [c.source for c in found.cells if c.cell_type == 'code']


def test_the_package_requires_what_it_imports():
  needed = required((ROOT / 'requirements.txt').read_text('utf-8'))
  with open(ROOT / 'pyproject.toml', 'rb') as file:
    extras = tomllib.load(file)['project']['optional-dependencies']
  optional = {x for some in extras.values() for x in required('\n'.join(some))}
  found = imported([*sources('aec_jax', 'configs', 'launch'), *tour()])
  assert found - optional == needed - UNSAID - optional


def test_tests_and_benchmarks_require_what_they_import():
  run = required((ROOT / 'requirements.txt').read_text('utf-8'))
  extra = required((ROOT / 'requirements-test.txt').read_text('utf-8'))
  found = imported(sources('tests', 'launch/benchmarks'))
  assert found - run - PEERS <= extra
  assert extra - TOOLS - imported(sources('aec_jax', 'launch')) <= found


# From the bottom up; what is not here, the commands and `experiment`, may
# import all of it.
FLOORS = (
  'errors', 'run', 'metrics', 'bootstrap', 'objective', 'audio', 'models',
  'datasets', 'input', 'features', 'tfds', 'predictions', 'train', 'presets',
  'bundle', 'exports', 'report',
)  # fmt: skip


def test_no_folder_imports_one_above_it():
  package = ROOT / 'aec_jax'
  upwards = []
  for path in package.rglob('*.py'):
    own = path.relative_to(package).with_suffix('').parts[0]
    if own not in FLOORS:
      continue
    for node in ast.walk(ast.parse(path.read_text('utf-8'))):
      for name in ours_of(node):
        above = (
          FLOORS.index(name) > FLOORS.index(own)
          if name in FLOORS
          else (package / f'{name}.py').exists()
        )
        if above:
          upwards.append(f'{path}:{node.lineno} imports {name}')
  assert upwards == []


def imported_at_once(name: str) -> set[str]:
  """What importing a module of ours imports, theirs by their first names."""
  seen: set[str] = set()
  left = [name]
  while left:
    name = left.pop()
    seen.add(name)
    path = ROOT / name.replace('.', '/')
    path = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
    if not path.exists():  # theirs, or of a module
      continue
    package = name.rpartition('.')[0]
    found = [package] * bool(package)
    for node in ast.parse(path.read_text('utf-8')).body:
      if isinstance(node, ast.Import):
        found += [alias.name for alias in node.names]
      elif isinstance(node, ast.ImportFrom) and node.module:
        found.append(node.module)
        if node.module.startswith('aec_jax'):
          found += [f'{node.module}.{alias.name}' for alias in node.names]
    left += [
      x if x.startswith('aec_jax') else x.partition('.')[0]
      for x in found
      if x not in seen
    ]
  return seen


@pytest.mark.parametrize('command', ['predict', 'embed', 'search', 'demo'])
def test_help_and_mistaken_options_do_not_wait_for_jax(command):
  found = imported_at_once(f'aec_jax.{command}')
  assert 'aec_jax.run.console' in found and 'numpy' in found
  assert not found & {'jax', 'flax', 'tensorflow', 'matplotlib', 'pyarrow'}


def ours_of(node) -> list[str]:
  """The folders and modules of the package that a statement imports."""
  if isinstance(node, ast.Import):
    found = [alias.name for alias in node.names]
  elif isinstance(node, ast.ImportFrom) and node.module:
    found = [f'{node.module}.{alias.name}' for alias in node.names]
  else:
    return []
  return [x.split('.')[1] for x in found if x.startswith('aec_jax.')]
