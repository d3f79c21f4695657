"""Folders that are splits or folds, or classes that are called so."""

import numpy as np
import pytest
from list_data import names_of, refusal, tree, write

from aec_jax.datasets import sides
from aec_jax.datasets.class_folders import reading_of
from aec_jax.datasets.folders import from_folder


def values(*names):
  return {name: side.value for name, side in sides.of(names).items()}


@pytest.mark.parametrize(
  'names, expected',
  [
    ('train val test', 'train validation test'),
    ('Training Validation EVAL', 'train validation test'),
    ('trainset testset', 'train test'),
    ('train_audio test_audio', 'train test'),
    ('audio_train audio_test', 'train test'),
    ('train_curated train_noisy test', 'train train test'),
    ('FSDKaggle2018.audio_train FSDKaggle2018.audio_test', 'train test'),
    ('FSD50K.dev_audio FSD50K.eval_audio', 'train test'),
    ('birds-Train birds-Test', 'train test'),
    ('TrainAudio TestAudio', 'train test'),
    ('development evaluation', 'train test'),
    ('train dev test', 'train validation test'),
    ('dev val', 'validation validation'),
    ('train validate', 'train validation'),
    ('IRMAS-TestingData-Part1 IRMAS-TrainingData', 'test train'),
  ],
)
def test_splits(names, expected):
  assert list(values(*names.split()).values()) == expected.split()


@pytest.mark.parametrize(
  'names, expected',
  [
    ('fold1 fold10', [1, 10]),
    ('fold-0 Fold_01', [0, 1]),
    ('fold_one fold_two', [1, 2]),
    ('k0 k1', [0, 1]),
    ('cv1 cv2', [1, 2]),
    ('split1 split2', [1, 2]),
    ('part1 part2', [1, 2]),
    ('set_1 set_2', [1, 2]),
    ('us8k_fold1 us8k_fold2', [1, 2]),
  ],
)
def test_folds(names, expected):
  assert list(values(*names.split()).values()) == expected


def test_names_of_classes():
  # AudioSet's trains, and what else only looks like a split.
  names = ('train_horn', 'train_whistle', 'train_squealing', 'test_tone')
  assert values('bus', 'car', *names) == {}
  assert values('1', '2', 'unfold1', 'noisy', 'set', 'foldé', 'trainé') == {}
  assert values('test_tone') == values('speech 1', 'speech 2') == {}
  assert values('train', 'train_horn', 'bus') == {'train': 'train'}


def test_words_that_all_names_have():
  # A machine that is called so, beside others of its kind.
  assert values('ToyCar', 'ToyTrain') == {}
  assert values('toy_train', 'toy_bus', 'toy_tram') == {}
  assert values('toy_train', 'toy_test') == {
    'toy_train': 'train', 'toy_test': 'test'
  }  # fmt: skip


@pytest.mark.parametrize(
  'outer, inner, classes, called',
  [
    ('train test', 'dog cat', 1, 'train test'),
    ('train test', 'train test', 1, 'train test'),  # vehicles and checks
    ('dog cat', 'train test', 0, 'train test'),
    ('bus train', 'train test', 0, 'train test'),
    ('ToyCar ToyTrain', 'train test', 0, 'train test'),
    ('toy_car toy_train', 'rec1 rec2', 0, ''),
    ('fold1 fold2', 'dog cat', 1, 'fold1 fold2'),
    ('dog cat', 'fold1 fold2', 0, 'fold1 fold2'),
    ('fold1 dog', 'train test', 0, ''),  # refused
    ('train val dog', 'train test', 0, ''),  # refused
    ('part1 part2', 'dog cat', 1, 'part1 part2'),
    ('dog cat', 'val test', 0, ''),
  ],
)
def test_readings(outer, inner, classes, called):
  paths = [(x, y, '1.wav') for x in outer.split() for y in inner.split()]
  reading = reading_of(paths)
  assert reading.classes == classes
  assert sorted(reading.sides) == sorted(called.split())


def test_a_class_called_train_of_splits(tmp_path):
  tree(
    tmp_path,
    *(
      f'{c}/{s}/{c}{s}.wav' for c in ('bus', 'train') for s in ('train', 'test')
    ),
  )
  clips = from_folder(tmp_path)
  assert dict(zip(clips.ids.tolist(), clips.split, strict=True)) == {
    'bustest.wav': 'test', 'bustrain.wav': 'train',
    'traintest.wav': 'test', 'traintrain.wav': 'train',
  }  # fmt: skip
  assert clips.classes == ('bus', 'train')
  assert clips.notes == [
    'test, train in the classes are taken as splits',
    'the folder train is taken as a class',
  ]


@pytest.mark.parametrize(
  'names',
  [
    'trainset testset',
    'train_audio test_audio',
    'FSD50K.dev_audio FSD50K.eval_audio',
    'dev eval',
    'development evaluation',
  ],
)
def test_folders_of_splits_of_classes(tmp_path, names):
  train, test = names.split()
  tree(
    tmp_path, f'{train}/dog/1.wav', f'{train}/cat/2.wav', f'{test}/dog/3.wav'
  )
  clips = from_folder(tmp_path)
  assert clips.classes == ('cat', 'dog')
  assert dict(zip(clips.ids, clips.split, strict=True)) == {
    '1.wav': 'train', '2.wav': 'train', '3.wav': 'test'
  }  # fmt: skip
  assert clips.notes and all('taken as' in note for note in clips.notes)


@pytest.mark.parametrize('names', ['k0 k1', 'part1 part2', 'fold_one fold_two'])
def test_folders_of_folds_of_classes(tmp_path, names):
  tree(tmp_path, *(f'{f}/{c}/{f}{c}.wav' for f in names.split() for c in 'xy'))
  clips = from_folder(tmp_path)
  assert clips.classes == ('x', 'y')
  assert np.unique(clips.fold, return_counts=True)[1].tolist() == [2, 2]
  assert clips.notes == [f'{", ".join(names.split())} are taken as folds']


@pytest.mark.parametrize(
  'files',
  [
    'FSDKaggle2018.audio_train/1.wav FSDKaggle2018.audio_test/2.wav',
    'FSD50K.dev_audio/1.wav FSD50K.eval_audio/2.wav',
    'train_curated/1.wav train_noisy/2.wav test/3.wav',
    'development/1.wav evaluation/2.wav',
    'trainset/1.wav testset/2.wav',
    'split1/1.wav split2/2.wav',
    'fold_one/1.wav fold_two/2.wav',
    'part1/dog/1.wav part1/cat/2.wav part2/cow/3.wav part2/pig/4.wav',
    'train_audio/1.wav test_audio/2.wav background/3.wav',
  ],
)
def test_sides_that_hold_no_classes(tmp_path, files):
  said = refusal(tree(tmp_path, *files.split()))
  assert 'are no classes; expected' in said


def test_a_list_says_that_they_are_classes(tmp_path):
  tree(tmp_path, 'part1/1.wav', 'part2/2.wav')
  write(tmp_path, 'file,label\npart1/1.wav,part1\npart2/2.wav,part2\n')
  assert from_folder(tmp_path).classes == ('part1', 'part2')


def test_classes_that_are_called_like_splits(tmp_path):
  tree(tmp_path, *(f'{c}/{c}.wav' for c in ('bus', 'train', 'test_tone')))
  clips = from_folder(tmp_path)
  assert clips.classes == ('bus', 'test_tone', 'train')
  assert clips.notes == ['the folder train is taken as a class']


def test_splits_below_the_classes(tmp_path):
  tree(
    tmp_path,
    *('dog/train/1.wav', 'dog/test/2.wav', 'cat/train/3.wav', 'cat/test/4.wav'),
  )
  clips = from_folder(tmp_path)
  assert clips.classes == ('cat', 'dog')
  assert dict(zip(clips.ids, clips.split, strict=True)) == {
    '1.wav': 'train', '2.wav': 'test', '3.wav': 'train', '4.wav': 'test',
  }  # fmt: skip
  assert clips.notes == ['test, train in the classes are taken as splits']
  tree(tmp_path, 'cow/5.wav')  # without a split
  clips = from_folder(tmp_path)
  assert set(clips.split) == {'train'}
  assert clips.notes == [
    'folders in the classes are not heeded as splits or folds: test, train'
  ]


def test_folds_below_the_classes(tmp_path):
  tree(tmp_path, *(f'{c}/fold{f}/{c}{f}.wav' for c in 'xy' for f in (1, 2)))
  assert from_folder(tmp_path).fold.tolist() == [1, 2, 1, 2]


def test_other_folders_below_the_classes(tmp_path):
  tree(tmp_path, *(f'{c}/{d}/{c}{d}.wav' for c in '123' for d in 'xy'))
  clips = from_folder(tmp_path)
  assert clips.classes == ('1', '2', '3')
  (note,) = clips.notes
  assert 'all classes hold the same folders (x, y)' in note


def test_classes_without_sound_are_named(tmp_path):
  tree(tmp_path, 'dog/1.wav', 'cat/2.wav', 'cow/bad.wav')
  (tmp_path / 'cow/bad.wav').write_text('none')
  for name in ('hen/song.mid', 'emu/k.raw', 'pig/1.txt', 'meta/x.csv'):
    write(tmp_path, 'MThd', name)
  (tmp_path / 'owl').mkdir()
  notes = from_folder(tmp_path).notes
  assert 'no sound that can be used is in emu, hen, owl, pig' in notes
  assert 'no usable clip is left of cow' in notes
  tree(tmp_path / 'few', 'dog/1.wav')
  (tmp_path / 'few/owl').mkdir()
  assert 'no sound that can be used is in owl' in refusal(tmp_path / 'few')


def test_splits_without_a_class(tmp_path):
  tree(tmp_path, 'train/dog/1.wav', 'train/cat/2.wav', 'test/dog/3.wav')
  write(tmp_path, '', 'test/cow/remark.txt')
  assert from_folder(tmp_path).notes == ['no sound that can be used is in cow']


def test_gtzan(tmp_path):
  tree(
    tmp_path,
    *(f'Data/genres_original/{c}/{c}.00000.wav' for c in ('blues', 'jazz')),
  )
  write(tmp_path, '', 'Data/images_original/blues/blues00000.png')
  rows = 'blues.00000.wav,1,blues\njazz.00000.wav,1,jazz\n'
  for seconds, text in (('3', rows.replace('00.', '00.0.')), ('30', rows)):
    write(
      tmp_path,
      f'filename,length,label\n{text}',
      f'Data/features_{seconds}_sec.csv',
    )
    for root in (tmp_path, tmp_path / 'Data'):
      clips = from_folder(root)
      assert names_of(clips) == {
        'blues.00000.wav': ('blues',), 'jazz.00000.wav': ('jazz',)
      }  # fmt: skip
      unused = [note for note in clips.notes if 'not used: ' in note]
      assert all(f'features_{s}_sec' in str(unused) for s in ('3', seconds))


def test_one_folder_that_is_called_by_a_split(tmp_path):
  tree(tmp_path, 'train_audio/dog/1.wav', 'train_audio/cat/2.wav')
  clips = from_folder(tmp_path)
  assert clips.classes == ('cat', 'dog')
  assert clips.notes == ['train_audio is taken as a split']


@pytest.mark.parametrize(
  'names, notes',
  [
    ('Actor_01 Actor_02', 1),
    ('session 1,session 2', 1),
    ('id10001 id10002', 1),
    ('001 002', 1),
    ('0 1 2', 0),  # digits that are said
    ('class1 class2', 0),
    ('01 - dog,02 - cat', 0),
    ('Actor_01 Musician_02', 0),
  ],
)
def test_folders_that_are_called_by_what_was_recorded(tmp_path, names, notes):
  names = names.split(',') if ',' in names else names.split()
  clips = from_folder(tree(tmp_path, *(f'{n}/{n}.wav' for n in names)))
  assert len(clips.classes) == len(names) and len(clips.notes) == notes
  assert notes == str(clips.notes).count('may be called by who or what was')


def test_classes_that_differ_in_capitals(tmp_path):
  tree(tmp_path, 'Dog/1.wav', 'dog/2.wav', 'cat/3.wav')
  assert from_folder(tmp_path).notes == [
    'classes whose names differ in capitals or blanks: Dog and dog'
  ]


def test_the_same_folders_deep_in_the_classes(tmp_path):
  snrs = ('0_dB_fan', '6_dB_fan')
  labels = ('normal', 'abnormal')
  tree(tmp_path, *(f'{s}/fan/{x}/{s}{x}.wav' for s in snrs for x in labels))
  (note,) = from_folder(tmp_path).notes
  assert 'all classes hold the same folders (abnormal, normal)' in note
  sides = tmp_path / 'sides'
  tree(
    sides,
    *(
      f'{s}/{p}/{x}/{s}.wav'
      for s in ('train', 'test')
      for p in 'ab'
      for x in 'xy'
    ),
  )
  (note,) = from_folder(sides).notes
  assert 'all classes hold the same folders (x, y)' in note


def test_splits_below_folds(tmp_path):
  paths = (
    f'fold{f}/{s}/{c}' for f in '12' for s in ('train', 'test') for c in 'xy'
  )
  tree(tmp_path, *(f'{path}/{i}.wav' for i, path in enumerate(paths)))
  assert 'folders called test, train are no classes' in refusal(tmp_path)


def test_one_folder_of_a_split_in_the_classes(tmp_path):
  tree(tmp_path, 'dog/1.wav', 'dog/test/2.wav', 'cat/3.wav')
  assert from_folder(tmp_path).notes == [
    'folders in the classes are not heeded as splits or folds: test'
  ]
