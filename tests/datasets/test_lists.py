"""Lists of clips: delimiters, encodings, headings, names, folds, splits."""

import pytest
from list_data import of, refused, wav, write

from aec_jax.datasets.folders import from_folder
from aec_jax.datasets.lists import read_list
from aec_jax.errors import UserError

ROWS = 'file,label,fold\na.wav,"Male speech, man",1\nb.wav,Dog,2\nc.wav,Cat,3\n'


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
@pytest.mark.parametrize('delimiter', [',', ';', '\t'])
def test_any_delimiter_and_encoding(root, encoding, delimiter):
  text = ROWS.replace(',', delimiter).replace(f'h{delimiter} ', 'h, ')
  write(root, text, 'labels.csv', encoding)
  clips = from_folder(root)
  assert clips.classes == ('Cat', 'Dog', 'Male speech, man')
  assert clips.fold.tolist() == [1, 2, 3]


def test_utf16_that_is_none(root):
  (root / 'labels.csv').write_bytes(b'\xff\xfea')
  with pytest.raises(UserError, match='is not UTF-16'):
    from_folder(root)


@pytest.mark.parametrize('fold', ['1', '1.0', 'fold1', 'Fold 1', 'fold_1'])
def test_folds(root, fold):
  write(root, f'file,label,fold\na.wav,x,{fold}\nb.wav,y,\n')
  assert from_folder(root).fold.tolist() == [1, -1]


@pytest.mark.parametrize('fold', ['1.5', 'one', '-1'])
def test_no_folds(root, fold):
  said = refused(root, f'file,label,fold\na.wav,x,{fold}\n')
  assert f"row 2, column fold: '{fold}' is not a whole number" in said


@pytest.mark.parametrize('fold', ['32768', '99999', '1' + 30 * '0', 5000 * '9'])
def test_folds_that_are_too_large(root, fold):
  said = refused(root, f'file,label,fold\na.wav,x,{fold}\n')
  assert (
    f'column fold: {fold[:40]} is too large: a fold is up to 32,767' in said
  )


def test_zeros_before_a_fold_say_nothing(root):
  write(root, 'file,label,fold\na.wav,x,0000003\nb.wav,y,000000\n')
  assert from_folder(root).fold.tolist() == [3, 0]


@pytest.mark.parametrize(
  'file',
  [
    'file',
    'fname',
    'filename',
    'file_name',
    'path',
    'filepath',
    'file_path',
    'slice_file_name',
  ],
)
@pytest.mark.parametrize('label', ['label', 'category', 'class', 'labels'])
def test_headings(root, file, label):
  assert of(root, f'{file.title()},{label}\na.wav,x\nb.wav,y\n') == {
    'a.wav': ('x',),
    'b.wav': ('y',),
  }


@pytest.mark.parametrize(
  'name',
  [
    'a.wav',
    'a',
    'audio/a',
    'audio/a.wav',
    './audio/a.wav',
    'audio\\a.wav',
    'C:\\Users\\me\\data\\audio\\a.wav',
    '/home/me/data/audio/a.wav',
  ],
)
def test_names_of_files(root, name):
  write(root, f'file,label\n{name},x\nb.wav,y\n')
  clips = from_folder(root)
  assert clips.paths[0] == str(root / 'audio/a.wav') or name == './audio/a.wav'
  assert clips.ids[0] == name
  assert {entry['file'] for entry in clips.skipped} == {
    'audio/c.wav',
    'audio/d.wav',
  }


def test_a_file_of_another_folder_is_another_file(root):
  wav(root / 'dogs' / '1.wav')
  write(root, 'file,label\ncats/1.wav,cat\na.wav,x\n')
  clips = from_folder(root)
  assert clips.ids.tolist() == ['a.wav']
  assert {'file': 'cats/1.wav', 'reason': 'missing'} in clips.skipped


def test_a_name_of_two_files(root):
  wav(root / 'dogs' / '1.wav')
  wav(root / 'cats' / '1.wav')
  said = refused(root, 'file,label\n1.wav,cat\na.wav,x\n')
  assert "row 2, column file: '1.wav' may be" in said
  assert of(root, 'file,label\ncats/1.wav,cat\na.wav,x\n') == {
    'cats/1.wav': ('cat',),
    'a.wav': ('x',),
  }


def test_a_name_of_a_file_at_the_top_and_of_one_in_audio(root):
  wav(root / 'a.wav')
  wav(root / 'deep' / 'b.wav')
  said = refused(root, 'file,label\na.wav,cat\nb.wav,x\n')
  assert "row 2, column file: 'a.wav' may be a.wav, audio/a.wav" in said
  write(root, f'file,label\n{root}/a.wav,cat\nb.wav,x\n')
  clips = from_folder(root)
  assert clips.paths.tolist() == [f'{root}/a.wav', f'{root}/audio/b.wav']


def test_a_tsv_has_tabs(root):
  text = 'file\tlabel, of three, words\na.wav\tx\n'
  write(root, text, 'labels.tsv')
  with pytest.raises(UserError, match='it has file, label, of three, words'):
    from_folder(root)
  write(root, 'file,label\na.wav,x\n', 'labels.tsv')  # it is only called so
  assert from_folder(root).ids.tolist() == ['a.wav']


def test_no_clip_to_train_on(root):
  text = 'file,label,split\na.wav,x,test\nb.wav,y,val\nlost.wav,x,train\n'
  said = refused(root, text)
  assert 'no clip to train on' in said
  assert 'all 2 usable clips are of test or validation' in said
  assert "3 unusable files, 2 usable; the first is 'lost.wav': missing" in said


def test_one_file_under_two_names(root):
  said = refused(root, 'file,label\na.wav,cat\naudio/a.wav,x\n')
  assert "'audio/a.wav' is in row 2 already" in said


def test_a_listed_file_that_is_used_is_not_left_out_as_well(root):
  (root / 'audio/a.wav').rename(root / 'audio/a.sound')
  wav(root / 'audio/e.wav')
  assert from_folder_ids(root, 'file,label\na.sound,x\nb.wav,y\n') == [
    'a.sound',
    'b.wav',
  ]


def from_folder_ids(root, text):
  write(root, text)
  clips = from_folder(root)
  shown = [entry['file'] for entry in clips.skipped]
  assert not set(shown) & {'audio/a.sound', 'audio/b.wav'}
  assert len(set(shown)) == len(shown)
  return clips.ids.tolist()


def test_splits_and_groups(root):
  write(
    root,
    'file,label,split,recording\na.wav,x,Train,1\nb.wav,y,,1\nc.wav,x,VAL,2\n'
    'd.wav,y,eval,\n',
  )
  clips = from_folder(root)
  assert clips.split.tolist() == ['train', 'train', 'validation', 'test']
  assert clips.group.tolist() == ['1', '1', '2', '']
  assert clips.describe() == (
    '2 train + 1 validation + 1 test clips, 2 classes'
  )
  said = refused(root, 'file,label,split\na.wav,x,tran\n')
  assert "row 2, column split: 'tran' is none of train, training" in said


def test_a_recording_on_both_sides_is_said(root):
  write(
    root,
    'file,label,fold,split,group\na.wav,x,1,train,r\nb.wav,y,2,train,r\n'
    'c.wav,x,1,train,s\nd.wav,y,1,test,s\n',
  )
  assert from_folder(root).notes == [
    'pieces of one recording are in several folds: r',
    'pieces of one recording are in several splits: s',
  ]


def test_other_columns_are_said(root):
  write(root, 'file,label,salience,target,license\na.wav,x,1,2,CC0\n')
  assert from_folder(root).notes == [
    'labels.csv: columns that are not used: salience, target, license'
  ]


def test_read_list_of_a_table_without_rows(root):
  write(root, 'file,label\n')
  with pytest.raises(UserError, match='no rows below the headings'):
    read_list(str(root / 'labels.csv'), {'file': ('file',)})
