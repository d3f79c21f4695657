"""What the README and the documents name is there: commands, options, fields,
files, links.

Commands are taken apart, not run; of those that take under a minute some are
run on a tiny experiment by the slow test at the end.
"""

import ast
import functools
import importlib
import importlib.util
import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import soundfile

from aec_jax import cli
from aec_jax.run import fields

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
  ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', ROOT / 'CHANGELOG.md',
  *sorted((ROOT / 'docs').glob('*.md')),
]  # fmt: skip
# Others' programs, which need not be installed here.
OTHERS = {'beam', 'pytest'}
_COMMAND = re.compile(r'(?<!\S)(?:python -m|make|pip install|aec-jax) [^\n]*')
_FOLDERS = ('aec_jax', 'configs', 'docs', 'launch', 'tests')
_PATH = re.compile(rf'`((?:{"|".join(_FOLDERS)})/[\w./]*)`')


def text_of(path: Path) -> str:
  """A document, with lines that go on put together."""
  return re.sub(r'\\\n\s*', ' ', path.read_text(encoding='utf-8'))


def commands() -> list[tuple[str, str]]:
  """(document, command) of all documents, each command once."""
  found = {}
  for path in DOCUMENTS:
    for code in code_of(text_of(path)):
      for match in _COMMAND.finditer(code):
        command = re.split(r'\s+#|[;|)]', match[0])[0].strip()
        found.setdefault(command, path.name)
  return [(name, command) for command, name in found.items()]


def code_of(text: str) -> list[str]:
  """The blocks and the spans of code in a document."""
  fence = re.compile(r'^```.*?\n(.*?)^```', re.M | re.S)
  spans = re.findall(r'`([^`]+)`', fence.sub('', text))
  return [*fence.findall(text), *(' '.join(s.split()) for s in spans)]


def words_of(command: str) -> list[str]:
  try:
    return shlex.split(command)
  except ValueError:  # a quotation that ends on the next line
    return command.split()


def of_kind(kind: str) -> list:
  return [
    pytest.param(name, command, id=f'{name}: {command[:60]}')
    for name, command in commands()
    if command.startswith(kind)
  ]


@functools.cache
def _is_module(name: str) -> bool:
  found = importlib.util.find_spec(name)
  return found is not None and found.submodule_search_locations is None


def options_of(module: str) -> set[str]:
  """The options that a module's source declares, or one that it imports."""
  found, seen = {'--help'}, set()
  names = [module, 'aec_jax.run.console', 'aec_jax.run.hosts']
  for name in names:
    seen.add(name)
    path = Path(importlib.util.find_spec(name).origin)
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      if isinstance(node, ast.ImportFrom) and node.module == 'aec_jax':
        # Of the package's own commands, what they have in common.
        others = {f'aec_jax.{alias.name}' for alias in node.names} - seen
        names += sorted(o for o in others if _is_module(o) and name == module)
      if not isinstance(node, ast.Call) or not node.args:
        continue
      called = ast.unparse(node.func).rpartition('.')[2]
      named = isinstance(node.args[0], ast.Constant) and node.args[0].value
      if called in ('add_argument', 'add'):
        found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
      elif called.startswith('DEFINE_'):
        found.add(f'--{named}')
  return found


def check_options(module: str, words: list[str]) -> None:
  config = None
  for word in words:
    name, _, value = word.partition('=')
    if name == '--config' and not value.isupper():
      if 'X' in Path(value).stem or '$' in value:
        continue
      assert (ROOT / 'configs' / f'{Path(value).stem}.py').is_file(), word
      config = Path(value).stem
    elif name.startswith('--config.'):
      check_field(name.removeprefix('--config.'), config)
    elif name.startswith('--') and len(name) > 2 and '…' not in name:
      assert name in options_of(module), f'{module} has no {name}'


def check_field(path: str, config: str | None) -> None:
  if path in fields.FIELDS or path.isupper():
    return
  name = config or ('dcase_l6' if path.startswith('extractor') else 'demo')
  found = importlib.import_module(f'configs.{name}').get_config()
  for part in path.split('.'):
    assert part in found, f'no config.{path}'
    found = found[part]


@pytest.mark.parametrize(('document', 'command'), of_kind('python -m'))
def test_modules_and_their_options_exist(document, command):
  module, *rest = words_of(command)[2:]
  module = module.strip('`.,')
  if module.split('.')[0] in OTHERS or '…' in module:
    return
  assert importlib.util.find_spec(module), f'{document}: {command}'
  package = importlib.util.find_spec(module).submodule_search_locations
  if package:
    module += '.__main__'
    assert importlib.util.find_spec(module), f'{document}: {command}'
  if '--beam' in rest:  # what follows is the runner's
    rest = rest[: rest.index('--beam')]
  check_options(module, rest)


@pytest.mark.parametrize(('document', 'command'), of_kind('aec-jax'))
def test_commands_of_the_entry_point_exist(document, command):
  name, *rest = words_of(command)[1:]
  if name.isupper() or name.startswith('-'):
    return
  assert name in cli.COMMANDS, f'{document}: {command}'
  if name == 'train' and rest and not rest[0].startswith('-'):
    rest[0] = f'--config={rest[0]}'
  check_options(cli.COMMANDS[name], rest)


@pytest.mark.parametrize(('document', 'command'), of_kind('make'))
def test_targets_of_make_exist(document, command):
  target, *rest = words_of(command)[1:]
  text = (ROOT / 'Makefile').read_text(encoding='utf-8')
  if re.fullmatch(r'[a-z./-]+', target):
    assert re.search(rf'^{re.escape(target)}:', text, re.M), command
  for word in rest:
    variable, equals, _ = word.partition('=')
    if equals:
      assert re.search(rf'^{variable} \?=', text, re.M), command


@pytest.mark.parametrize(('document', 'command'), of_kind('pip install'))
def test_what_pip_installs_is_this_folder_or_known(document, command):
  with open(ROOT / 'pyproject.toml', 'rb') as file:
    extras = tomllib.load(file)['project']['optional-dependencies']
  for word in words_of(command)[2:]:
    assert not re.match(r'aec[_-]jax', word), f'{document}: is on no index'
    extra = re.fullmatch(r'\.\[(\w+)\]', word)
    if extra:
      assert extra[1] in extras, f'{document}: {command}'


@pytest.mark.parametrize('path', DOCUMENTS, ids=lambda p: p.name)
def test_files_and_links_exist(path):
  text = text_of(path)
  for name in _PATH.findall(text):
    found = ROOT / name.rstrip('.')
    assert found.exists() or list(ROOT.glob(f'{name}*')), name
  for link in re.findall(r'\]\(([^)\s]+)\)', text):
    target, _, anchor = link.partition('#')
    if '://' in target:
      continue
    linked = path.parent / target if target else path
    assert linked.exists(), link
    if anchor:
      headings = re.findall(r'^#+ (.*)$', linked.read_text('utf-8'), re.M)
      anchors = [
        re.sub(r'[^\w -]', '', h.lower()).replace(' ', '-') for h in headings
      ]
      assert anchor in anchors, link


def test_fields_that_are_named_exist():
  for path in DOCUMENTS:
    if path.name == 'CHANGELOG.md':  # names those that are gone, too
      continue
    for name in re.findall(r'`config\.([\w.]+)', text_of(path)):
      if name.rstrip('.') not in ('model',):
        check_field(name.rstrip('.'), None)


def test_the_readme_is_a_front_page():
  text = (ROOT / 'README.md').read_text(encoding='utf-8')
  assert len(text.split()) <= 900
  assert len(re.findall(r'^!\[', text, re.M)) == 1
  assert max(map(len, text.splitlines())) <= 120


@pytest.mark.slow
def test_documented_commands_run(dcase_run, tmp_path, monkeypatch, capsys):
  """Those of the documents that take a work folder, a bundle or a sound."""
  _, _, workdir = dcase_run
  sound = tmp_path / 'a.wav'
  soundfile.write(sound, [0.1, -0.2] * 4000, 8000)
  put = {
    'DIR/bundle': str(workdir / 'bundle'),
    'runs/mine/bundle': str(workdir / 'bundle'),
    'DIR…': str(workdir), 'SOUND_OR_FOLDER…': str(sound), 'PATH…': str(sound),
    'SOUND': str(sound), 'out.png': str(tmp_path / 'out.png'),
    'out.html': str(tmp_path / 'out.html'), 'OUT': str(tmp_path / 'out'),
    'comparison.html': str(tmp_path / 'comparison.html'),
  }  # fmt: skip
  count = 0
  for _, command in commands():
    words = words_of(command)
    if words[:2] != ['python', '-m'] or words[2] not in (
      'aec_jax.predict', 'aec_jax.evaluate', 'aec_jax.compare', 'aec_jax.export'
    ):  # fmt: skip
      continue
    parts = [word.rpartition('=') for word in words[3:]]
    if not parts or not all(v in put or v.isdigit() or v in ('json', 'csv')
                            for _, _, v in parts):  # fmt: skip
      continue
    arguments = [f'{a}{b}{put.get(v, v)}' for a, b, v in parts]
    monkeypatch.setattr(sys, 'argv', [words[2], *arguments])
    with pytest.raises(SystemExit) as end:
      runpy.run_module(words[2], run_name='__main__')
    assert not end.value.code, (command, capsys.readouterr().err)
    count += 1
  assert count >= 5
