"""Layouts of other projects' data sets: classes, folds, splits, notes."""

import numpy as np
import pytest
from list_data import wav

from aec_jax.datasets.folders import from_folder
from aec_jax.errors import UserError


def make(root, files=(), **lists):
  """A tree of recordings, and of lists by their names without '.csv'."""
  for file in files:
    wav(root / file)
  for name, text in lists.items():
    write(root, f'{name}.csv', text)
  return root


def write(root, name, text):
  (root / name).parent.mkdir(parents=True, exist_ok=True)
  (root / name).write_text(text, encoding='utf-8')


def shown(clips, *columns):
  """{id: (names of its labels, values of the columns)}."""
  return {
    clip: (tuple(clips.names_of(i)), *(getattr(clips, c)[i] for c in columns))
    for i, clip in enumerate(clips.ids.tolist())
  }


def refused(root):
  with pytest.raises(UserError) as error:
    from_folder(root)
  assert '\n' not in str(error.value)
  return str(error.value)


URBAN = """slice_file_name,fsID,start,end,salience,fold,classID,class
10-5-0-16.wav,10,8.0,8.5,1,9,5,engine_idling
10-5-0-17.wav,10,0.0,0.5,1,9,5,engine_idling
20-8-2-0.wav,20,47.8,48.3,2,7,8,siren
"""


@pytest.mark.parametrize(
  'audio, listing',
  [('audio/', 'metadata/UrbanSound8K.csv'), ('', 'UrbanSound8K.csv')],
)
def test_urbansound8k(tmp_path, audio, listing):
  write(tmp_path, listing, URBAN)
  for name, fold in (('10-5-0-16', 9), ('10-5-0-17', 9), ('20-8-2-0', 7)):
    wav(tmp_path / f'{audio}fold{fold}/{name}.wav', 0.5)
  clips = from_folder(tmp_path, on_bad='error')
  assert shown(clips, 'fold', 'group') == {
    '10-5-0-16.wav': (('engine_idling',), 9, '10'),
    '10-5-0-17.wav': (('engine_idling',), 9, '10'),
    '20-8-2-0.wav': (('siren',), 7, '20'),
  }
  assert np.isnan(clips.start).all()
  assert clips.notes == [
    'UrbanSound8K.csv: columns that are not used: salience, classid',
    'files whose start and end lie beyond them, taken whole: 2',
  ]
  (tmp_path / listing).unlink()
  assert 'folders called fold7, fold9 are no classes' in refused(tmp_path)


def test_esc50(tmp_path):
  make(tmp_path, ['audio/1-100032-A-0.wav', 'audio/5-9032-A-36.wav'])
  write(
    tmp_path,
    'meta/esc50.csv',
    'filename,fold,target,category,esc10,src_file,take\n'
    '1-100032-A-0.wav,1,0,dog,True,100032,A\n'
    '5-9032-A-36.wav,5,36,vacuum_cleaner,False,9032,A\n',
  )
  clips = from_folder(tmp_path, on_bad='error')
  assert shown(clips, 'fold', 'group') == {
    '1-100032-A-0.wav': (('dog',), 1, '100032'),
    '5-9032-A-36.wav': (('vacuum_cleaner',), 5, '9032'),
  }
  assert clips.notes == [
    'esc50.csv: columns that are not used: target, esc10, take'
  ]


def test_esc10(tmp_path):
  make(tmp_path, ['001 - Dog bark/1-2-A.ogg', '002 - Rain/3-4-A.ogg'])
  assert shown(from_folder(tmp_path), 'fold') == {
    '1-2-A.ogg': (('Dog bark',), 1),
    '3-4-A.ogg': (('Rain',), 3),
  }


def fsd50k(root):
  for name in ('dev_audio/1', 'dev_audio/2', 'dev_audio/7', 'eval_audio/3'):
    wav(root / f'FSD50K.{name}.wav')
  truth = {
    'dev': 'fname,labels,mids,split\n1,"Drum,Music","/m/1,/m/2",train\n'
    '2,Engine,/m/3,val\n',
    'eval': 'fname,labels,mids\n3,Music,/m/2\n4,Drum,/m/1\n',
    'vocabulary': '0,Drum,/m/1\n1,Music,/m/2\n2,Engine,/m/3\n',
  }
  for name, text in truth.items():
    write(root, f'FSD50K.ground_truth/{name}.csv', text)
  return root


def test_fsd50k(tmp_path):
  clips = from_folder(fsd50k(tmp_path))
  assert clips.classes == ('Drum', 'Music', 'Engine')
  assert shown(clips, 'split') == {
    '1.wav': (('Drum', 'Music'), 'train'),
    '2.wav': (('Engine',), 'validation'),
    '3.wav': (('Music',), 'test'),
  }
  assert clips.skipped == [
    {'file': 'FSD50K.eval_audio/4.wav', 'reason': 'missing'},
    {'file': 'FSD50K.dev_audio/7.wav', 'reason': 'not listed in dev.csv'},
  ]
  assert clips.notes == ['no training clip has Engine']
  wav(tmp_path / 'elsewhere/8.wav')
  write(tmp_path, 'own.csv', 'file,label\n1.wav,x\n')
  assert from_folder(tmp_path).notes[1:] == [
    '1 other sound files are not used: elsewhere/8.wav',
    'not used: own.csv, for the data set has other lists',
  ]


def test_fsd50k_label_that_is_no_class(tmp_path):
  fsd50k(tmp_path)
  write(tmp_path, 'FSD50K.ground_truth/dev.csv', 'fname,labels\n1,Drumm\n')
  said = refused(tmp_path)
  assert "row 2, column labels: 'Drumm' is not in vocabulary.csv" in said


def test_fsd50k_s_list_beside_any_audio(tmp_path):
  make(
    tmp_path,
    ['clips/1.wav', 'clips/2.wav'],
    labels='fname,labels,mids,split\n1,"Drum,Fill, roll","/m/1,/m/2",train\n'
    '2,Engine,/m/3,val\n',
  )
  # Three parts and two mids: this comma may be part of a name.
  assert "'Drum,Fill, roll' may be one label or several" in refused(tmp_path)
  text = (tmp_path / 'labels.csv').read_text().replace('Fill, roll', 'Fill')
  write(tmp_path, 'labels.csv', text)
  assert shown(from_folder(tmp_path), 'split') == {
    '1': (('Drum', 'Fill'), 'train'),
    '2': (('Engine',), 'validation'),
  }


@pytest.mark.parametrize('kind', ['zenodo', 'kaggle'])
def test_fsdkaggle2019(tmp_path, kind):
  zenodo = kind == 'zenodo'
  meta, post = 'FSDKaggle2019.meta/' * zenodo, '_post_competition' * zenodo
  audio, prefix = 'FSDKaggle2019.' * zenodo, 'audio_' * zenodo
  make(
    tmp_path,
    [
      f'{audio}{prefix}train_curated/a.wav',
      f'{audio}{prefix}train_noisy/b.wav',
      f'{audio}{prefix}test/c.wav',
    ],
    **{
      f'{meta}train_curated{post}': 'fname,labels\na.wav,"Bark,Run"\n',
      f'{meta}train_noisy{post}': 'fname,labels\nb.wav,Bark\n',
    },
  )
  if zenodo:
    write(
      tmp_path,
      f'{meta}test{post}.csv',
      'fname,labels,usage\nc.wav,Run,Private\n',
    )
  clips = from_folder(tmp_path, on_bad='error')
  assert shown(clips, 'verified', 'split', 'usage') == {
    'a.wav': (('Bark', 'Run'), True, 'train', ''),
    'b.wav': (('Bark',), False, 'train', ''),
    'c.wav': (('Run',) * zenodo, zenodo, 'test', 'Private' * zenodo),
  }


STRONG = """segment_id\tstart_time_seconds\tend_time_seconds\tlabel
b0RFKhbpFJA_30000\t0.000\t4.000\t/m/1
b0RFKhbpFJA_30000\t3.000\t5.000\t/m/2
b0RFKhbpFJA_30000\t3.000\t5.000\t/m/3
b0RFKhbpFJA_30000\t1.000\t1.000\t/m/3
-0RFKhbpFJ__0\t0.000\t9.000\t/m/3
"""


def test_audioset_strong(tmp_path):
  write(tmp_path, 'audioset_train_strong.tsv', STRONG)
  write(
    tmp_path,
    'mid_to_display_name.tsv',
    '/m/2\tBark, of a big, old, dog\n/m/1\tSpeech\n',
  )
  wav(tmp_path / 'audio/Yb0RFKhbpFJA_30000.wav', 10)
  wav(tmp_path / 'audio/else.wav')
  clips = from_folder(tmp_path)
  name = 'Yb0RFKhbpFJA_30000.wav'
  assert shown(clips, 'start', 'end', 'group') == {
    f'{name}:0-4': (('Speech',), 0, 4, 'b0RFKhbpFJA'),
    f'{name}:3-5': (
      ('/m/3', 'Bark, of a big, old, dog', 'Speech'),
      3,
      5,
      'b0RFKhbpFJA',
    ),
  }
  assert clips.notes == [
    'audioset_train_strong.tsv: 1 segments have no audio here',
    'audioset_train_strong.tsv: 1 events of no duration are no clips',
  ]
  assert clips.skipped == [
    {'file': 'audio/else.wav', 'reason': 'in none of the lists'}
  ]


def test_a_file_of_several_strong_segments_of_a_video(tmp_path):
  rows = STRONG + 'b0RFKhbpFJA_60000\t0.000\t2.000\t/m/1\n'
  write(tmp_path, 'audioset_train_strong.tsv', rows)
  make(tmp_path, ['b0RFKhbpFJA.wav'])
  wav(tmp_path / '-0RFKhbpFJ__0.wav', 10)
  clips = from_folder(tmp_path)
  assert clips.ids.tolist() == ['-0RFKhbpFJ__0.wav:0-9']
  (skipped,) = clips.skipped
  assert skipped['file'] == 'b0RFKhbpFJA.wav'
  assert 'may be any of several segments of its video' in skipped['reason']
  (tmp_path / 'b0RFKhbpFJA.wav').unlink()
  wav(tmp_path / 'b0RFKhbpFJA_60000.wav', 10)
  assert from_folder(tmp_path).ids[-1] == 'b0RFKhbpFJA_60000.wav:0-2'


def test_audioset_segments(tmp_path):
  heading = '# Segments csv created\n# num_ytids=3, num_segs=3, a=1, b=2\n'
  heading += '# YTID, start_seconds, end_seconds, positive_labels\n'
  ids = ('--4gqARaEJE', 'Y7fmOlUlwoNg', '_7fmOlUlwoN')
  write(
    tmp_path,
    'csv/balanced_train_segments.csv',
    f'{heading}{ids[0]}, 0.000, 10.000, "/m/1,/m/2"\n'
    f'{ids[1][1:]}, 30.000, 40.000, "/m/2"\nlost4567890, 0.0, 9.0, "/m/1"\n',
  )
  write(
    tmp_path,
    'csv/eval_segments.csv',
    f'{heading}{ids[2]}, 20.000, 30.000, "/m/1"\n',
  )
  write(
    tmp_path,
    'csv/class_labels_indices.csv',
    'index,mid,display_name\n0,/m/1,"Speech, loud"\n1,/m/2,Music\n',
  )
  names = [f'{ids[0]}.wav', f'{ids[1]}.wav', f'{ids[2]}_20000.wav']
  make(tmp_path, names)
  assert shown(from_folder(tmp_path, on_bad='error'), 'split', 'group') == {
    names[0]: (('Music', 'Speech, loud'), 'train', ids[0]),
    names[1]: (('Music',), 'train', ids[1][1:]),
    names[2]: (('Speech, loud',), 'test', ids[2]),
  }
  path = tmp_path / 'csv/eval_segments.csv'
  text = path.read_text()
  path.write_text(f'{text}{ids[0]}, 0.0, 9.0, "/m/1"\n')
  assert f"'{ids[0]}.wav' is listed twice" in refused(tmp_path)
  path.write_text(f'{text}{ids[0]}, 9.0, 0.0, "/m/1"\n')
  assert 'row 5, column ytid: ' in refused(tmp_path)


@pytest.mark.parametrize('top', ['', 'audio/'])
@pytest.mark.parametrize(
  'train, validation, test',
  [
    ('train', 'val', 'test'),
    ('Train', 'Valid', 'Test'),
    ('TRAIN', 'dev', 'eval'),
  ],
)
def test_folders_of_splits(tmp_path, top, train, validation, test):
  make(
    tmp_path,
    [
      f'{top}{train}/Cat/1.wav',
      f'{top}{train}/Dog/2.wav',
      f'{top}{validation}/Cat/3.wav',
      f'{top}{test}/Dog/4.wav',
      f'{top}{test}/5.wav',
    ],
  )
  clips = from_folder(tmp_path)
  assert shown(clips, 'split') == {
    '1.wav': (('Cat',), 'train'),
    '2.wav': (('Dog',), 'train'),
    '3.wav': (('Cat',), 'validation'),
    '4.wav': (('Dog',), 'test'),
  }
  assert clips.skipped == [
    {'file': f'{top}{test}/5.wav', 'reason': 'not in a class folder'}
  ]


def test_folders_of_folds(tmp_path):
  make(tmp_path, [f'fold{f}/{c}/{f}{c}.wav' for f in (1, 2) for c in 'xy'])
  clips = from_folder(tmp_path)
  assert clips.classes == ('x', 'y')
  assert clips.fold.tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(
  'files',
  [
    ['train/1.wav', 'test/2.wav'],
    ['train/1.wav', 'val/2.wav', 'dogs/3.wav'],
    ['fold1/1.wav', 'fold2/2.wav'],
    ['fold1/x/1.wav', 'dogs/2.wav'],
    ['train/Cat/1.wav', 'train/Dog/2.wav', 'dogs/2.wav'],
  ],
)
def test_splits_and_folds_are_no_classes(tmp_path, files):
  assert 'are no classes; expected' in refused(make(tmp_path, files))


@pytest.mark.parametrize('names', ['val test', 'test', 'dev'])
def test_no_folder_to_train_on(tmp_path, names):
  make(tmp_path, [f'{s}/{c}/{s}{c}.wav' for s in names.split() for c in 'xy'])
  only = ', '.join(sorted(names.split()))
  assert f'no folder is called train, only {only}; to' in refused(tmp_path)


def test_a_class_called_train(tmp_path):
  make(tmp_path, ['train/1.wav', 'rain/2.wav'])
  clips = from_folder(tmp_path)
  assert clips.classes == ('rain', 'train')
  assert clips.notes == ['the folder train is taken as a class']


def test_lists_of_splits(tmp_path):
  make(
    tmp_path,
    ['a.wav', 'b.wav', 'c.wav'],
    train='file,label\na.wav,x\nb.wav,y\n',
    test='file,label\nc.wav,x\n',
  )
  assert from_folder(tmp_path).split.tolist() == ['train', 'train', 'test']
  write(tmp_path, 'test.csv', 'file,label\nc.wav,x\n./a.wav,x\n')
  assert "test.csv: row 3, column file: './a.wav' is in row 2 of train.csv" in (
    refused(tmp_path)
  )


def test_features_beside_class_folders(tmp_path):
  make(
    tmp_path,
    ['blues/blues.0.wav', 'rock/rock.0.wav'],
    features_30_sec='filename,length,mean\nblues.0.wav,3,0.1\n',
    features_3_sec='filename,length,label\nblues.0.0.wav,3,blues\n'
    'blues.0.1.wav,3,blues\n',
  )
  clips = from_folder(tmp_path)
  assert clips.classes == ('blues', 'rock')
  foreign, unused = clips.notes
  assert foreign == (
    'not used: features_3_sec.csv: of 2 files that it names 2 are not here, and'
    ' sub-folders are the classes'
  )
  assert 'not used: features_30_sec.csv: no column label' in unused
  assert 'not used' in clips.describe()


def test_only_a_folder_of_class_folders(tmp_path):
  make(tmp_path, ['data/x/1.wav', 'data/y/2.wav', '3.wav'])
  clips = from_folder(tmp_path)
  assert clips.classes == ('x', 'y')
  assert clips.notes == ['the classes are the folders in data/']
  assert clips.skipped == [{'file': '3.wav', 'reason': 'not in a class folder'}]
  assert "only 'Dog'; expected" in refused(
    make(tmp_path / 'b', ['Dog/a/1.wav'])
  )
