"""Where lists lie: beside what they list, in folders of splits, elsewhere."""

import pytest
from list_data import names_of, refusal, tree, write

from aec_jax.datasets.folders import from_folder

AB = 'file,label\na.wav,x\nb.wav,y\n'


def column(clips, name):
  """{id: value}."""
  return dict(zip(clips.ids.tolist(), getattr(clips, name), strict=True))


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
    'not used: audio/labels.csv: no list of files and labels',
    'not used: notes/a.csv: row 1: byte 0xe9 is not UTF-8',
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


@pytest.mark.parametrize('above', ['', 'audio/', 'data/'])
def test_a_list_of_files_in_folders_of_splits(tmp_path, above):
  names = (f'{above}train/a.wav', f'{above}test/b.wav')
  tree(tmp_path, *names)
  text = f'file,label\n{names[0]},x\n{names[1]},x\n'
  write(tmp_path, text, 'metadata.csv')
  clips = from_folder(tmp_path)
  assert clips.split.tolist() == ['train', 'test']
  assert clips.notes == [
    'test, train are taken as splits, for no column split says otherwise'
  ]
  text = text.replace(',x\n', ',x,train\n').replace('label', 'label,split')
  write(tmp_path, text, 'metadata.csv')
  clips = from_folder(tmp_path)
  assert clips.split.tolist() == ['train', 'train'] and clips.notes == []


@pytest.mark.parametrize(
  'folders, fold, note',
  [
    ('fold1 fold2', [1, 2], 'are taken as folds, for no column fold says'),
    ('part1 part2', [-1, -1], 'are not heeded as folds: a column fold says'),
    ('audio_test audio_train', [-1, -1], 'a column split says which do'),
    ('fold1 dogs', [-1, -1], ''),
    ('test val', [-1, -1], 'all clips train, of test, val, too'),
    ('dogs test', [-1, -1], 'all clips train, of test, too'),
    ('dogs train', [-1, -1], ''),
  ],
)
def test_listed_files_in_folders(tmp_path, folders, fold, note):
  paths = [f'{d}/{x}.wav' for d, x in zip(folders.split(), 'ab', strict=True)]
  tree(tmp_path, *paths)
  write(tmp_path, f'file,label\n{paths[0]},x\n{paths[1]},y\n')
  clips = from_folder(tmp_path)
  assert clips.fold.tolist() == fold and set(clips.split) == {'train'}
  assert note in str(clips.notes) and len(clips.notes) == bool(note)


def test_a_list_s_folder_is_searched_to_its_depth(tmp_path):
  names = ('train/audio/a', 'train/audio/b', 'test/audio/a', 'test/audio/c')
  tree(tmp_path, *(f'{name}.wav' for name in names))
  write(tmp_path, f'{AB}c.wav,y\n', 'train/metadata.csv')
  write(tmp_path, 'file,label\na.wav,x\n', 'test/metadata.csv')
  clips = from_folder(tmp_path)
  assert [path[len(str(tmp_path)) + 1 :] for path in clips.paths] == [
    'test/audio/a.wav', 'train/audio/a.wav', 'train/audio/b.wav'
  ]  # fmt: skip
  assert clips.skipped == [  # and not the other split's
    {'file': 'train/c.wav', 'reason': 'missing'},
    {
      'file': 'test/audio/c.wav',
      'reason': 'not listed in test/metadata.csv or train/metadata.csv',
    },
  ]


def test_whole_paths_in_a_folder_s_list(tmp_path):
  tree(tmp_path, 'train/a.wav', 'train/b.wav')
  write(tmp_path, AB.replace('\n', '\ntrain/', 2), 'train/labels.csv')
  assert from_folder(tmp_path).ids.tolist() == ['train/a.wav', 'train/b.wav']


def test_a_column_of_splits_in_a_folder_called_by_one(tmp_path):
  tree(tmp_path, *(f'{name}.wav' for name in ('train/a', 'train/b', 'test/c')))
  text = 'file,label,split\na.wav,x,train\nb.wav,x,val\n'
  write(tmp_path, text, 'train/labels.csv')
  write(tmp_path, 'file,label,split\nc.wav,x,\n', 'test/labels.csv')
  clips = from_folder(tmp_path)
  assert column(clips, 'split') == {
    'train/a.wav': 'train', 'train/b.wav': 'validation', 'test/c.wav': 'test'
  }  # fmt: skip
  assert clips.notes[-1] == (
    'train/labels.csv: 1 of 2 clips are not of split train, as it or its folder'
    ' is called: its column split says so'
  )
  assert not any('lists train clips' in note for note in clips.notes)


@pytest.mark.parametrize('audio', ['', 'audio/'])
def test_a_list_in_each_folder_of_a_fold(tmp_path, audio):
  for i, name in enumerate('aba'):
    folder = f'fold{i}/{audio}'
    tree(tmp_path, f'{folder}{name}.wav')
    write(tmp_path, f'file,label\n{name}.wav,{name}\n', f'{folder}labels.csv')
  clips = from_folder(tmp_path)
  assert column(clips, 'fold') == {
    f'fold0/{audio}a.wav': 0, f'fold1/{audio}b.wav': 1, f'fold2/{audio}a.wav': 2
  }  # fmt: skip
  assert clips.notes[0] == f'fold0/{audio}labels.csv lists clips of fold 0'
  write(tmp_path, 'file,label,fold\na.wav,a,4\n', f'fold0/{audio}labels.csv')
  clips = from_folder(tmp_path)
  assert column(clips, 'fold')[f'fold0/{audio}a.wav'] == 4
  assert 'are not of fold 0' in clips.notes[-1]


def test_lists_that_are_called_by_folds(tmp_path):
  tree(tmp_path, 'a.wav', 'b.wav', 'c.wav')
  write(tmp_path, 'file,label\na.wav,x\n', 'fold1.csv')
  write(tmp_path, 'file,label\nb.wav,y\nc.wav,x\n', 'fold2.csv')
  assert column(from_folder(tmp_path), 'fold') == {
    'a.wav': 1, 'b.wav': 2, 'c.wav': 2
  }  # fmt: skip


def test_lists_of_splits_in_one_folder_that_is_called_by_one(tmp_path):
  tree(tmp_path, 'train/a.wav', 'train/b.wav')
  write(tmp_path, 'file,label\na.wav,x\n', 'train/train.csv')
  write(tmp_path, 'file,label\nb.wav,x\n', 'train/val.csv')
  clips = from_folder(tmp_path)
  assert column(clips, 'split')['train/b.wav'] == 'validation'
  assert clips.notes[0] == (
    'train/ is not heeded as train, for train/val.csv is called otherwise'
  )


def test_lists_of_splits_in_folders_of_folds(tmp_path):
  for fold, split, name in (
    (1, 'train', 'a'), (1, 'test', 'b'), (2, 'train', 'b'), (2, 'test', 'a')
  ):  # fmt: skip
    tree(tmp_path, f'fold{fold}/{split}/{name}.wav')
    text = f'file,label\n{split}/{name}.wav,{name}\n'
    write(tmp_path, text, f'fold{fold}/{split}.csv')
  clips = from_folder(tmp_path)
  assert clips.fold.tolist() == [1, 1, 2, 2]
  assert clips.split.tolist() == ['train', 'test'] * 2
  assert clips.notes == [
    'fold1/train.csv, fold2/train.csv list train clips',
    'fold1/test.csv, fold2/test.csv list test clips',
    'fold1, fold2 are taken as folds, for no column fold says otherwise',
  ]


def test_a_faulty_list_beside_what_it_lists(tmp_path):
  tree(tmp_path, 'train/a.wav', 'train/b.wav', 'test/c.wav')
  write(tmp_path, AB, 'train/metadata.csv')
  broken = 'file,label\nc.wav,x,3\n'
  write(tmp_path, broken, 'test/metadata.csv')
  said = 'test/metadata.csv: row 2, column label: 3 cells under 2 headings'
  assert refusal(tmp_path).endswith(said)
  (tmp_path / 'test/metadata.csv').unlink()
  write(tmp_path, broken, 'notes/metadata.csv')  # where no sound is
  for i in range(7):
    write(tmp_path, broken, f'test/{i}.csv')
  assert from_folder(tmp_path).notes[1:] == [
    *(
      f'not used: {name}.csv: row 2, column label: 3 cells under 2 headings'
      for name in ('notes/metadata', 'test/0', 'test/1', 'test/2', 'test/3')
    ),
    'not used: 3 more CSVs',
  ]


def test_a_folder_that_is_called_test(tmp_path):
  tree(tmp_path, 'test/a.wav', 'test/b.wav')
  write(tmp_path, AB, 'test/labels.csv')
  assert (
    "lists test clips by its folder's name: give"
    f' {tmp_path}/test as the folder, if they are to train'
  ) in refusal(tmp_path)
  assert len(from_folder(tmp_path / 'test')) == 2


def test_many_lists_are_named_in_one_note(tmp_path):
  for i in range(7):
    tree(tmp_path, f'r{i}/a.wav')
    write(tmp_path, f'file,label\na.wav,{i % 2}\n', f'r{i}/labels.csv')
  tree(tmp_path, 'r0/b.wav')
  clips = from_folder(tmp_path)
  assert clips.notes == [
    'r0/labels.csv, r1/labels.csv, r2/labels.csv, r3/labels.csv, r4/labels.csv'
    ' and 2 more list what lies beside them'
  ]
  assert clips.skipped[0]['reason'].endswith('r4/labels.csv and 2 more')


@pytest.mark.parametrize('place', ['', 'audio/'])
def test_a_split_s_list_names_what_is_in_its_folder(tmp_path, place):
  files = ('train/1', 'train/2', 'test/1', 'test/3')
  tree(tmp_path, *(f'{place}{name}.wav' for name in files))
  write(tmp_path, 'file,label\n1.wav,x\n2.wav,y\n3.wav,y\n', 'train.csv')
  write(tmp_path, 'file,label\n1.wav,x\n', 'test.csv')
  clips = from_folder(tmp_path)
  assert column(clips, 'split') == {
    f'{place}train/1.wav': 'train', f'{place}train/2.wav': 'train',
    f'{place}test/1.wav': 'test',
  }  # fmt: skip
  assert clips.notes == []
  assert clips.skipped[0] == {
    'file': f'{place}train/3.wav',
    'reason': 'missing',
  }


def test_what_is_to_be_handed_in_is_no_list(tmp_path):
  tree(tmp_path, 'a.wav', 'b.wav')
  write(tmp_path, AB.replace('y', 'x'), 'sample_submission.csv')
  assert 'a.csv' not in (said := refusal(tmp_path))
  assert 'sample_submission.csv: by its name what is to be handed in' in said
  write(tmp_path, 'filename,primary_label\na.wav,x\nb.wav,y\n', 'train.csv')
  assert from_folder(tmp_path).classes == ('x', 'y')


def test_several_lists_that_say_else_than_the_folders(tmp_path):
  tree(tmp_path, 'set_a/1.wav', 'set_b/2.wav')
  for x, y in (('a', 1), ('b', 2)):
    text = f'fname,label\nset_{x}/{y}.wav,{x * 4}\n'
    write(tmp_path, text, f'set_{x}.csv')
  assert 'several CSV files (set_a.csv, set_b.csv)' in refusal(tmp_path)
  for x, y in (('a', 1), ('b', 2)):
    text = f'fname,label\nset_{x}/{y}.wav,set_{x}\n'
    write(tmp_path, text, f'set_{x}.csv')
  assert from_folder(tmp_path).classes == ('set_a', 'set_b')


def test_the_folder_of_a_download(tmp_path):
  tree(tmp_path, 'ESC-50-master/audio/a.wav', 'ESC-50-master/audio/b.wav')
  write(tmp_path, AB, 'ESC-50-master/meta/esc50.csv')
  write(tmp_path, '', '__MACOSX/._a')
  write(tmp_path, 'PK', 'ESC-50.zip')
  clips = from_folder(tmp_path)
  assert clips.ids.tolist() == ['a.wav', 'b.wav']
  assert clips.notes == ['the data set is in ESC-50-master/']


@pytest.mark.parametrize('heading', ['subset', 'set', 'partition'])
def test_columns_of_splits_by_other_names(tmp_path, heading):
  tree(tmp_path, 'a.wav', 'b.wav')
  text = AB.replace('label', f'label,{heading}').replace('x', 'x,training')
  write(tmp_path, text.replace('y', 'x,testing'))
  clips = from_folder(tmp_path)
  assert clips.split.tolist() == ['train', 'test'] and clips.notes == []
  write(tmp_path, text.replace('y', 'x,A'))  # not all are splits
  clips = from_folder(tmp_path)
  assert clips.split.tolist() == ['train', 'train']
  assert clips.notes == [f'labels.csv: columns that are not used: {heading}']


def test_a_heading_that_is_empty(tmp_path):
  tree(tmp_path, 'a.wav', 'b.wav')
  write(tmp_path, ',file,label\n0,a.wav,x\n1,b.wav,y\n')
  assert from_folder(tmp_path).notes == []
