"""Manifests: both layouts of FSDKaggle2018, folders, faults, bad files."""

import os
import shutil

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from aec_jax.datasets import clips as clips_lib
from aec_jax.datasets.folders import from_folder
from aec_jax.datasets.fsdkaggle2018 import from_fsdkaggle2018
from aec_jax.errors import UserError

TRAIN = """fname,label,manually_verified
b.wav,Cello,0
a.wav,Bark,1
c.wav,Cello,1
"""
TEST = """fname,label,usage,license
p.wav,Bark,Public,CC0
q.wav,None,Ignored,CC0
r.wav,Cello,Private,CC0
"""


def write_audio(path, frames=8, rate=44100, channels=1):
  path.parent.mkdir(parents=True, exist_ok=True)
  shape = frames if channels == 1 else (frames, channels)
  soundfile.write(path, np.zeros(shape, np.float32), rate)


def write_text(path, text):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text, encoding='utf-8')


def make_fsd(root, layout='kaggle'):
  """The set of TRAIN and TEST, with its audio."""
  names = {
    'kaggle': (
      'train.csv',
      'test_post_competition.csv',
      'audio_train',
      'audio_test',
    ),
    'zenodo': (
      'FSDKaggle2018.meta/train_post_competition.csv',
      'FSDKaggle2018.meta/test_post_competition.csv',
      'FSDKaggle2018.audio_train',
      'FSDKaggle2018.audio_test',
    ),
    'mixed': (
      'train_post_competition.csv',
      'test_post_competition.csv',
      'audio_train',
      'FSDKaggle2018.audio_test',
    ),
  }[layout]
  write_text(root / names[0], TRAIN)
  write_text(root / names[1], TEST)
  for name in 'abc':
    write_audio(root / names[2] / f'{name}.wav')
  for name in 'pqr':
    write_audio(root / names[3] / f'{name}.wav')
  return root


def make_folder(root, files):
  for file in files:
    write_audio(root / file)
  return root


def reasons(clips):
  return {entry['file']: entry['reason'] for entry in clips.skipped}


@pytest.mark.parametrize('layout', ['kaggle', 'zenodo', 'mixed'])
def test_fsd_layouts(tmp_path, layout):
  clips = from_fsdkaggle2018(make_fsd(tmp_path, layout=layout))
  assert clips.ids.tolist() == [f'{name}.wav' for name in 'bacpqr']
  assert clips.classes == ('Bark', 'Cello')
  assert clips.labels.tolist() == [1, 0, 1, 0, -1, 1]
  assert clips.labels.dtype == clips.fold.dtype == np.int16
  assert clips.verified.tolist() == [False, True, True, True, False, True]
  assert clips.split.tolist() == ['train'] * 3 + ['test'] * 3
  assert clips.usage.tolist() == [''] * 3 + ['Public', 'Ignored', 'Private']
  assert clips.fold.tolist() == [-1] * 6
  assert all(map(os.path.isfile, clips.paths))
  assert clips.skipped == []
  assert clips.describe() == '3 train + 3 test clips, 2 classes'


def test_fsd_in_several_folders(tmp_path):
  make_fsd(tmp_path, layout='zenodo')
  folders = []
  for name in ('meta', 'audio_train', 'audio_test'):
    folder = tmp_path / name
    folder.mkdir()
    (tmp_path / f'FSDKaggle2018.{name}').rename(
      folder / f'FSDKaggle2018.{name}'
    )
    folders.append(folder)
  assert len(from_fsdkaggle2018(folders)) == 6


def test_fsd_without_a_test_list(tmp_path):
  make_fsd(tmp_path)
  (tmp_path / 'test_post_competition.csv').unlink()
  clips = from_fsdkaggle2018(tmp_path)
  test = clips.select(clips.split == 'test')
  assert test.ids.tolist() == ['p.wav', 'q.wav', 'r.wav']
  assert test.labels.tolist() == [-1, -1, -1]
  assert not test.verified.any()


def test_fsd_without_test_audio(tmp_path):
  make_fsd(tmp_path)
  for file in (tmp_path / 'audio_test').iterdir():
    file.unlink()
  (tmp_path / 'audio_test').rmdir()
  clips = from_fsdkaggle2018(tmp_path)
  assert len(clips) == 3
  assert reasons(clips) == {f'audio_test/{n}.wav': 'missing' for n in 'pr'}
  assert clips.notes == ['1 test clips that are only padding are not there']


def test_fsd_bad_files(tmp_path):
  make_fsd(tmp_path)
  audio = tmp_path / 'audio_train'
  write_audio(audio / 'a.wav', frames=0)
  assert (audio / 'a.wav').stat().st_size == 44
  (audio / 'b.wav').write_bytes(b'RIFF, it says, and is not')
  write_audio(audio / 'unknown.WAV')
  write_audio(audio / '._c.wav')
  write_text(audio / 'notes.txt', 'not audio')
  tests = tmp_path / 'audio_test'
  (tests / 'p.wav').write_bytes(b'')
  (tests / 'q.wav').unlink()
  (tests / 'q.wav').symlink_to(tmp_path / 'nowhere.wav')
  (tests / 'r.wav').unlink()
  (tests / 'r.wav').mkdir()
  clips = from_fsdkaggle2018(tmp_path)
  assert clips.ids.tolist() == ['c.wav']
  assert clips.classes == ('Bark', 'Cello')
  assert reasons(clips) == {
    'audio_train/a.wav': 'no samples',
    'audio_train/b.wav': 'unreadable header',
    'audio_train/unknown.WAV': 'not listed in train.csv',
    'audio_test/p.wav': 'empty',
    'audio_test/q.wav': 'a dangling link',
    'audio_test/r.wav': 'a folder, not a file',
  }
  assert '6 files skipped' in clips.describe()
  with pytest.raises(UserError, match=r'6 unusable .*audio_train/b.wav.: unr'):
    from_fsdkaggle2018(tmp_path, on_bad='error')


def test_no_usable_clip(tmp_path):
  make_fsd(tmp_path)
  for name in 'abc':
    (tmp_path / 'audio_train' / f'{name}.wav').unlink()
  with pytest.raises(UserError, match='3 unusable files, 3 usable'):
    from_fsdkaggle2018(tmp_path)


def test_on_bad_is_checked(tmp_path):
  with pytest.raises(UserError, match="'ignore', expected one of"):
    from_fsdkaggle2018(make_fsd(tmp_path), on_bad='ignore')


def test_fsd_not_there(tmp_path):
  with pytest.raises(UserError, match=r'no train\.csv'):
    from_fsdkaggle2018(tmp_path)
  write_text(tmp_path / 'train.csv', TRAIN)
  with pytest.raises(UserError, match=r'no audio_train/'):
    from_fsdkaggle2018(tmp_path)
  with pytest.raises(UserError, match='no such folder'):
    from_fsdkaggle2018(tmp_path / 'nope')


@pytest.mark.parametrize(
  'data, message',
  [
    (b'', 'no column fname; the file is empty'),
    (b'fname,"la\nbel",manually_verified\n', 'no column label; it has'),
    (b'fname,label,manually_verified\n', 'no rows below the headings'),
    (b'fname,label\na.wav,Bark\n', 'no column manually_verified; it has fname'),
    (TRAIN.encode() + b'd.wav,,1\n', 'row 5, column label: empty'),
    (TRAIN.encode() + b'd.wav\n', 'row 5, column label: empty'),
    (TRAIN.encode() + b',Bark,1\n', 'row 5, column fname: empty'),
    (
      TRAIN.encode() + b'd.wav,Bark,yes\n',
      "row 5, column manually_verified: 'yes' is not 0 or 1",
    ),
    (TRAIN.encode() + b'd.wav,Dog, big,1\n', '4 cells under 3 headings'),
    (
      TRAIN.encode() + b'\na.wav,Bark,1\n',
      "row 6, column fname: 'a.wav' is in row 3 already",
    ),
    (TRAIN.encode() + b'd.wav,B\xe9b\xe9,1\n', 'row 5: byte 0xe9 is not UTF-8'),
    (TRAIN.encode() + b'"d.wav,Bark,1\n', 'unexpected end of data'),
  ],
)
def test_faulty_train_list(tmp_path, data, message):
  make_fsd(tmp_path)
  (tmp_path / 'train.csv').write_bytes(data)
  with pytest.raises(UserError) as error:
    from_fsdkaggle2018(tmp_path)
  assert message in str(error.value)
  assert str(tmp_path / 'train.csv') in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'row, message',
  [
    ('s.wav,Meow,Public,CC0', "column label: 'Meow' is not a class"),
    ('s.wav,Meow,Ignored,CC0', "column label: 'Meow' is not a class"),
    ('s.wav,None,Private,CC0', "column label: 'None' is not a class"),
    ('s.wav,,Public,CC0', "column label: '' is not a class"),
    ('s.wav,Bark,public,CC0', "column usage: 'public' is none of"),
  ],
)
def test_faulty_test_list(tmp_path, row, message):
  make_fsd(tmp_path)
  write_text(tmp_path / 'test_post_competition.csv', TEST + row)
  with pytest.raises(UserError) as error:
    from_fsdkaggle2018(tmp_path)
  assert f'row 5, {message}' in str(error.value)


def test_list_from_a_spreadsheet(tmp_path):
  make_fsd(tmp_path)
  text = TRAIN.replace('\n', '\r\n').replace('fname', ' Fname ')
  (tmp_path / 'train.csv').write_bytes(b'\xef\xbb\xbf' + text.encode())
  clips = from_fsdkaggle2018(tmp_path)
  assert clips.ids[:3].tolist() == ['b.wav', 'a.wav', 'c.wav']


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=80))
def test_any_list_gives_clips_or_one_line(tmp_path_factory, data):
  root = tmp_path_factory.getbasetemp() / 'any'
  if not root.exists():
    make_fsd(root)
  for start in (b'', b'fname,label,manually_verified\n'):
    (root / 'train.csv').write_bytes(start + data)
    try:
      from_fsdkaggle2018(root)
    except UserError as error:
      assert '\n' not in str(error)


def test_class_folders(tmp_path):
  make_folder(
    tmp_path,
    [
      'audio/002 - Rain drops/x y.wav',
      'audio/002 - Rain drops/deep/é.FLAC',
      'audio/001 - Dog/b.Ogg',
      'audio/001 - Dog/a.mp3',
      'audio/001 - Dog/.hidden.wav',
      'audio/.hidden/z.wav',
      'audio/loose.wav',
      'elsewhere/other.wav',
    ],
  )
  write_text(tmp_path / 'README.txt', 'about')
  write_text(tmp_path / 'audio/001 - Dog/c.m4a', 'unread')
  write_text(tmp_path / 'scores.csv', 'class,score\nDog,1\n')
  clips = from_folder(tmp_path)
  assert clips.classes == ('Dog', 'Rain drops')
  assert clips.ids.tolist() == ['a.mp3', 'b.Ogg', 'x y.wav', 'é.FLAC']
  assert clips.labels.tolist() == [0, 0, 1, 1]
  assert clips.verified.all()
  assert set(clips.split) == {'train'}
  assert reasons(clips) == {
    'audio/001 - Dog/c.m4a': 'unreadable header',
    'audio/loose.wav': 'not in a class folder',
    'elsewhere/other.wav': 'not in a class folder',
  }
  assert len(from_folder(tmp_path / 'audio')) == 4


def test_file_names_shared_by_classes(tmp_path):
  make_folder(tmp_path, ['Cat/1.wav', 'Dog/1.wav'])
  assert from_folder(tmp_path).ids.tolist() == ['Cat/1.wav', 'Dog/1.wav']


def test_folders_of_splits(tmp_path):
  make_folder(
    tmp_path, ['train/Cat/1.wav', 'train/Dog/2.wav', 'test/Cat/3.wav']
  )
  clips = from_folder(tmp_path)
  assert clips.classes == ('Cat', 'Dog')
  got = dict(zip(clips.ids, clips.split, strict=True))
  assert got == {'1.wav': 'train', '2.wav': 'train', '3.wav': 'test'}


def test_links(tmp_path):
  outside = make_folder(tmp_path / 'outside', ['Dog/1.wav', 'one.wav'])
  root = make_folder(tmp_path / 'root', ['Cat/2.wav'])
  (root / 'Dog').symlink_to(outside / 'Dog')
  (root / 'Cat' / 'linked.wav').symlink_to(outside / 'one.wav')
  (root / 'Cat' / 'lost.wav').symlink_to(outside / 'nowhere.wav')
  (root / 'Cat' / 'loop').symlink_to(root)
  clips = from_folder(root)
  assert clips.ids.tolist() == ['2.wav', 'linked.wav', '1.wav']
  assert reasons(clips) == {'Cat/lost.wav': 'a dangling link'}


def test_names_that_are_not_utf8(tmp_path):
  make_folder(tmp_path, ['Cat/1.wav', 'Dog/2.wav'])
  name = os.fsdecode(os.fsencode(tmp_path) + b'/Dog/\xff.wav')
  try:
    shutil.copyfile(tmp_path / 'Dog/2.wav', name)
  except OSError:
    pytest.skip('the file system takes UTF-8 names only')
  clips = from_folder(tmp_path)
  assert len(clips) == 2
  assert reasons(clips) == {'Dog/\ufffd.wav': 'name is not UTF-8'}


@pytest.mark.parametrize(
  'names, folds',
  [
    (['1-100-A.ogg', '4-2-B.ogg'], [1, 4]),
    (['1-100-A-0.wav', '5-2-B-49.wav'], [1, 5]),
    (['1-100-A.ogg', 'other.ogg'], [-1, -1]),
  ],
)
def test_esc_folds(tmp_path, names, folds):
  make_folder(tmp_path, [f'Cat/{names[0]}', f'Dog/{names[1]}'])
  assert from_folder(tmp_path).fold.tolist() == folds


@pytest.mark.parametrize('name', ['labels.csv', 'metadata.csv', 'esc50.csv'])
def test_folder_with_a_list(tmp_path, name):
  make_folder(tmp_path, ['audio/a b.wav', 'sub/é.flac', 'audio/unlisted.wav'])
  write_text(
    tmp_path / name,
    'filename,fold,target,category,verified\n'
    'sub/é.flac,3,0,Dog,0\na b.wav,,7,Cat,true\nlost.wav,1,0,Dog,1\n',
  )
  clips = from_folder(tmp_path)
  assert clips.ids.tolist() == ['sub/é.flac', 'a b.wav']
  assert clips.classes == ('Cat', 'Dog')
  assert clips.labels.tolist() == [1, 0]
  assert clips.fold.tolist() == [3, -1]
  assert clips.verified.tolist() == [False, True]
  assert reasons(clips) == {
    'lost.wav': 'missing',
    'audio/unlisted.wav': f'not listed in {name}',
  }


def test_relative_folder(tmp_path, monkeypatch):
  make_folder(tmp_path, ['a.wav', 'b.wav'])
  write_text(tmp_path / 'labels.csv', 'file,label\na.wav,x\n./b.wav,y\n')
  monkeypatch.chdir(tmp_path)
  clips = from_folder('.')
  assert clips.paths[0] == str(tmp_path / 'a.wav')
  assert clips.skipped == []


def test_list_without_folds_uses_esc_names(tmp_path):
  make_folder(tmp_path, ['audio/1-2-A.wav', 'audio/3-4-B.wav'])
  write_text(tmp_path / 'labels.csv', 'file,label\n1-2-A.wav,x\n3-4-B.wav,y\n')
  assert from_folder(tmp_path).fold.tolist() == [1, 3]


@pytest.mark.parametrize(
  'files, lists, message',
  [
    ([], {}, 'no recordings; expected'),
    (['Dog/1.wav'], {}, "only 'Dog'; expected"),
    (['1 - Dog/1.wav', '2 - Dog/2.wav'], {}, "are both named 'Dog'"),
    (['1.wav'], {'a.csv': 'x', 'b.csv': 'y'}, 'several CSV files (a.csv, b'),
    (['1.wav'], {'a.csv': 'x,y\n'}, 'no column file or fname or filename'),
    (
      ['1.wav'],
      {'labels.csv': 'file,label,fold\n1.wav,a,two\n'},
      "row 2, column fold: 'two' is not a whole number",
    ),
    (['1.wav'], {'labels.csv': 'file,label\n2.wav,a\n'}, '0 usable; the first'),
  ],
)
def test_faulty_folders(tmp_path, files, lists, message):
  make_folder(tmp_path, files)
  for name, text in lists.items():
    write_text(tmp_path / name, text)
  with pytest.raises(UserError) as error:
    from_folder(tmp_path)
  assert message in str(error.value)
  assert '\n' not in str(error.value)


def test_one_file_is_no_files(tmp_path):
  make_folder(tmp_path, ['x/1.wav', 'y/2.wav', 'y/3.wav'])
  (tmp_path / 'y/3.wav').write_bytes(b'')
  assert '; 1 file skipped: 1 empty' in from_folder(tmp_path).describe()
  with pytest.raises(UserError, match='1 unusable file, 2 usable'):
    from_folder(tmp_path, on_bad='error')


def test_null_byte_in_a_name():
  assert clips_lib.trouble_with('a\0.wav') == 'missing'


def test_select_and_with_classes(tmp_path):
  clips = from_fsdkaggle2018(make_fsd(tmp_path))
  assert clips.select([2, 0]).ids.tolist() == ['c.wav', 'b.wav']
  cello = clips.with_classes(['Cello'])
  assert cello.ids.tolist() == ['b.wav', 'c.wav', 'r.wav']
  assert cello.labels.tolist() == [0, 0, 0]
  assert cello.classes == ('Cello',)
  both = clips.with_classes(['Cello', 'Bark'])
  assert both.labels.tolist() == [0, 1, 0, 1, 0]
  with pytest.raises(UserError, match="no class 'Meow'; the classes are Bark"):
    clips.with_classes(['Meow'])
