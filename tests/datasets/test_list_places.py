"""Where lists lie: beside what they list, in folders of splits, elsewhere."""

import pytest
from list_data import names_of, refusal, tree, write

from aec_jax.datasets.folders import from_folder


def test_a_list_in_audio(tmp_path):
  tree(tmp_path, 'audio/a.wav', 'audio/b.wav')
  write(tmp_path, 'file,label\na.wav,x\nb.wav,y\n', 'audio/labels.csv')
  clips = from_folder(tmp_path)
  assert names_of(clips) == {'audio/a.wav': ('x',), 'audio/b.wav': ('y',)}
  assert clips.notes == ['audio/labels.csv is the list of what is in audio/']


def test_a_list_of_what_is_in_folders_below_it(tmp_path):
  tree(tmp_path, 'audio/dog/1.wav', 'audio/cat/2.wav')
  write(tmp_path, 'file,label\n1.wav,x\n2.wav,y\n', 'audio/labels.csv')
  assert from_folder(tmp_path).classes == ('x', 'y')


@pytest.mark.parametrize('name', ['metadata', 'labels', 'anything'])
@pytest.mark.parametrize('above', ['', 'data/'])
def test_a_list_in_each_folder_of_a_split(tmp_path, name, above):
  tree(tmp_path, *(f'{above}{f}.wav' for f in ('train/a', 'train/b', 'test/a')))
  rows = 'file_name,label\na.wav,x\n'
  write(tmp_path, f'{rows}b.wav,y\n', f'{above}train/{name}.csv')
  write(tmp_path, rows, f'{above}test/{name}.csv')
  clips = from_folder(tmp_path)
  assert dict(zip(clips.ids, clips.split, strict=True)) == {
    f'{above}test/a.wav': 'test',
    f'{above}train/a.wav': 'train',
    f'{above}train/b.wav': 'train',
  }
  assert [clips.names_of(i) for i in range(3)] == [['x'], ['x'], ['y']]
  assert clips.notes == [
    f'{above}test/{name}.csv lists test clips',
    f'{above}train/{name}.csv lists train clips',
  ]


def test_lists_of_all_sound_that_are_no_splits(tmp_path):
  tree(tmp_path, 'A/a.wav', 'A/b.wav', 'B/a.wav')
  write(tmp_path, 'file,label\na.wav,x\nb.wav,y\n', 'A/labels.csv')
  write(tmp_path, 'file,label\na.wav,y\n', 'B/labels.csv')
  assert names_of(from_folder(tmp_path)) == {
    'A/a.wav': ('x',), 'A/b.wav': ('y',), 'B/a.wav': ('y',)
  }  # fmt: skip
  tree(tmp_path, 'C/a.wav')  # which none of them lists
  clips = from_folder(tmp_path)
  assert clips.classes == ('A', 'B', 'C')
  assert 'not used: A/labels.csv, B/labels.csv: a list of all' in clips.notes[0]


def test_lists_elsewhere_are_named(tmp_path):
  tree(tmp_path, 'dog/1.wav', 'cat/2.wav')
  write(tmp_path, 'file,label\n1.wav,x\n2.wav,y\n', 'annotations/labels.csv')
  write(tmp_path, 'file,label\n1.wav,x\n', 'dog/info.csv')
  clips = from_folder(tmp_path)
  assert clips.classes == ('cat', 'dog')
  assert clips.notes == [
    'not used: annotations/labels.csv, dog/info.csv: a list of all clips lies'
    ' at the top, in meta/ or in metadata/, or beside what it lists'
  ]
  write(tmp_path, 'file,label\n1.wav,p\n2.wav,q\n', 'meta/labels.csv')
  clips = from_folder(tmp_path)
  assert clips.classes == ('p', 'q')
  assert clips.notes == [
    'not used: annotations/labels.csv, dog/info.csv: meta/labels.csv is used'
  ]


def test_what_is_no_list_is_named_as_that(tmp_path):
  tree(tmp_path, 'audio/dog/1.wav', 'audio/cat/2.wav')
  write(tmp_path, 'tempo,key\n1,2\n', 'audio/labels.csv')
  write(tmp_path, 'caf\xe9', 'notes/a.csv', 'latin-1')
  assert from_folder(tmp_path).notes == [
    'not used: audio/labels.csv, notes/a.csv: no list of files and labels'
  ]


def test_lists_elsewhere_are_named_where_nothing_else_is_there(tmp_path):
  tree(tmp_path, 'audio/1.wav')
  write(tmp_path, 'file,label\n1.wav,x\n', 'annotations/labels.csv')
  assert 'not used: annotations/labels.csv: a list of' in refusal(tmp_path)


@pytest.mark.parametrize('name', ['test.csv', 'eval.csv', 'meta/test.tsv'])
def test_a_lone_list_that_is_called_by_a_split(tmp_path, name):
  tree(tmp_path, 'a.wav', 'b.wav')
  text = 'file,label\na.wav,x\nb.wav,y\n'
  write(tmp_path, text.replace(',', '\t' if 't.tsv' in name else ','), name)
  said = refusal(tmp_path)
  assert 'no clip to train on' in said and 'call it labels.csv' in said
  write(tmp_path, 'id,label\n1,x\n', 'train.csv')  # of other columns
  assert 'not used: train.csv: no column file' in refusal(tmp_path)


def test_a_lone_list_of_a_split_with_its_own_column(tmp_path):
  tree(tmp_path, 'a.wav', 'b.wav')
  write(tmp_path, 'file,label,split\na.wav,x,train\nb.wav,y,test\n', 'dev.csv')
  assert from_folder(tmp_path).split.tolist() == ['train', 'test']


def test_a_lone_list_of_test_clips_beside_class_folders(tmp_path):
  tree(tmp_path, *(f'{s}/{c}/{s}.wav' for s in ('train', 'test') for c in 'xy'))
  write(tmp_path, 'file,label\nx/test.wav,x\n', 'test.csv')
  clips = from_folder(tmp_path)
  assert clips.split.tolist() == ['test', 'test', 'train', 'train']
  assert 'it lists test clips alone by its name' in clips.notes[0]


def test_a_list_of_files_in_folders_of_splits(tmp_path):
  tree(tmp_path, 'audio/train/a.wav', 'audio/test/b.wav')
  text = 'file,label\ntrain/a.wav,x\ntest/b.wav,y\n'
  write(tmp_path, text, 'metadata.csv')
  assert from_folder(tmp_path).notes == [
    'all clips train, of test, train, too: a column split says which do'
  ]
  write(
    tmp_path,
    text.replace('x', 'x,train')
    .replace('y', 'y,test')
    .replace('label', 'label,split'),
    'metadata.csv',
  )
  assert 'all clips train' not in str(from_folder(tmp_path).notes)
