"""Bad CSVs: lists of clips and of classes, and folders of recordings."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aec_jax.datasets import audioset_tfrecord, lists
from aec_jax.datasets.folders import from_folder
from aec_jax.datasets.fsdkaggle2018 import from_fsdkaggle2018
from tests import dcase_data
from tests.bad_inputs.case import READ, REFUSED, SKIPPED, Case
from tests.bad_inputs.sounds import wav

_HEADING = 'fname,label,manually_verified\n'
_ROWS = 'a.wav,low,1\nb.wav,high,0\n'
# (what, text, wanted, what is named)
_LISTS = (
  ('empty', '', REFUSED, 'empty'),
  ('white space', ' \n\n', REFUSED, ''),
  ('no rows', _HEADING, REFUSED, 'no rows'),
  ('a missing column', 'fname,manually_verified\na.wav,1\n', REFUSED, 'label'),
  ('no heading', _ROWS, REFUSED, 'fname'),
  ('a heading with a typo', 'fnam,label,manually_verified\n', REFUSED, 'fname'),
  ('semicolons in one line', _HEADING.replace(',', ';') + _ROWS, REFUSED, '2'),
  ('semicolons', (_HEADING + _ROWS).replace(',', ';'), READ, ''),
  ('tabs', (_HEADING + _ROWS).replace(',', '\t'), READ, ''),
  ('a file twice', _HEADING + _ROWS + 'a.wav,high,1\n', REFUSED, 'a.wav'),
  ('no label', _HEADING + 'a.wav,,1\n', REFUSED, 'row 2'),
  ('no file', _HEADING + ',low,1\n', REFUSED, 'row 2'),
  ('verified is 2', _HEADING + 'a.wav,low,2\n', REFUSED, "'2'"),
  ('verified is empty', _HEADING + 'a.wav,low,\n', REFUSED, 'row 2'),
  ('too many cells', _HEADING + 'a.wav,low,1,x\n', REFUSED, '4 cells'),
  ('too few cells', _HEADING + 'a.wav\n', REFUSED, 'row 2'),
  ('an open quote', _HEADING + '"a.wav,low,1\n', REFUSED, 'row'),
  ('text after a quote', _HEADING + '"a"b.wav,low,1\n', REFUSED, 'row'),
  ('a long cell', _HEADING + 'a' * 200_000 + ',low,1\n', REFUSED, 'row'),
  ('Latin-1', (_HEADING + 'ä.wav,low,1\n').encode('latin-1'), REFUSED, 'UTF-8'),
  ('UTF-16', (_HEADING + _ROWS).encode('utf-16'), READ, ''),
  ('half of UTF-16', _HEADING.encode('utf-16')[:-1], REFUSED, 'UTF-16'),
  ('random bytes', bytes(range(256)), REFUSED, ''),
  ('a JSON', '{"a.wav": "low"}\n', REFUSED, 'fname'),
  ('a BOM', ('\ufeff' + _HEADING + _ROWS).encode(), READ, ''),
  ('CRLF', (_HEADING + _ROWS).replace('\n', '\r\n'), READ, ''),
  ('CR', (_HEADING + _ROWS).replace('\n', '\r'), READ, ''),
  ('an extra column', 'x,' + _HEADING + 'y,a.wav,low,1\n', READ, ''),
  ('blank lines', _HEADING + '\n\n' + _ROWS + '\n', READ, ''),
  ('no last newline', (_HEADING + _ROWS)[:-1], READ, ''),
  ('capital headings', _HEADING.upper() + _ROWS, READ, ''),
)
_CLASS_LISTS = (
  ('empty', '', REFUSED),
  ('a missing column', 'index,mid\n0,/m/0\n', REFUSED),
  ('an index twice', 'index,mid,display_name\n0,a,A\n0,b,B\n', REFUSED),
  ('an index left out', 'index,mid,display_name\n0,a,A\n2,b,B\n', REFUSED),
  ('an index in words', 'index,mid,display_name\none,a,A\n', REFUSED),
  ('a negative index', 'index,mid,display_name\n-1,a,A\n', REFUSED),
  ('Latin-1', 'index,mid,display_name\n0,a,Ä\n'.encode('latin-1'), REFUSED),
  ('a BOM', '\ufeffindex,mid,display_name\n0,a,A\n'.encode(), READ),
  ('CRLF', 'index,mid,display_name\r\n0,a,A\r\n', READ),
)


def _bytes(text: str | bytes) -> bytes:
  return text if isinstance(text, bytes) else text.encode()


def csv_cases(folder: Path) -> Iterator[Case]:
  """Lists of clips and classes, FSDKaggle2018, folders of recordings."""
  columns = {
    'file': ('fname',),
    'label': ('label',),
    'verified': ('manually_verified',),
  }
  for i, (what, text, wanted, says) in enumerate(_LISTS):
    path = folder / f'list{i}.csv'
    path.write_bytes(_bytes(text))
    run = lambda path=path: lists.read_list(str(path), columns) and []
    yield Case('CSV', what, wanted, run, says)
  for i, (what, text, wanted) in enumerate(_CLASS_LISTS):
    root = folder / f'classes{i}'
    root.mkdir()
    (root / 'class_labels_indices.csv').write_bytes(_bytes(text))
    run = lambda root=root: audioset_tfrecord.read_classes(str(root)) and []
    yield Case('CSV', f'class list: {what}', wanted, run)
  for what, change, wanted, says in (
    ('an unknown test label', ('high,Public', 'hihg,Public'), REFUSED, 'hihg'),
    ('an unknown usage', ('high,Public', 'high,Publik'), REFUSED, 'Publik'),
    (
      'a file that is missing',
      ('test001.wav', 'gone.wav'),
      SKIPPED,
      'gone.wav',
    ),
    ('a path out of the folder', ('test001.wav', '../x.wav'), SKIPPED, '../x'),
  ):
    root = folder / f'fsd {what}'
    dcase_data.write_fsd(root, train=6, test=6)
    path = root / 'test_post_competition.csv'
    text = path.read_text().replace('mid,Public', 'high,Public')
    path.write_text(text.replace(*change))
    run = lambda root=root: [
      entry
      for entry in from_fsdkaggle2018(root).skipped
      if 'void' not in entry['file']
    ]
    yield Case('CSV', what, wanted, run, says)
  for what, files in (
    ('an empty folder', {}),
    ('one class alone', {'low/a.wav': wav(np.ones(99))}),
    ('two lists', {'a.csv': b'file,label\n', 'b.csv': b'file,label\n'}),
    ('a list of nothing there', {'labels.csv': b'file,label\nx.wav,low\n'}),
    ('a fold in words', {'labels.csv': b'file,label,fold\nx.wav,low,one\n'}),
  ):
    root = folder / what
    root.mkdir()
    for name, data in files.items():
      (root / name).parent.mkdir(exist_ok=True)
      (root / name).write_bytes(data)
    run = lambda root=root: from_folder(root) and []
    yield Case('CSV', f'recordings: {what}', REFUSED, run, str(root))
  run = lambda: from_folder(folder / 'nowhere') and []
  yield Case('CSV', 'recordings: no folder', REFUSED, run, 'nowhere')
