"""Folders that are splits or folds, or classes that are called so."""

import numpy as np
import pytest
from list_data import names_of, refusal, tree, write

from aec_jax.datasets import sides
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
  assert 'no usable clip is left of emu, hen, owl, pig' in notes
  assert 'no usable clip is left of cow' in notes
  tree(tmp_path / 'few', 'dog/1.wav')
  (tmp_path / 'few/owl').mkdir()
  assert 'no usable clip is in owl' in refusal(tmp_path / 'few')


def test_splits_without_a_class(tmp_path):
  tree(tmp_path, 'train/dog/1.wav', 'train/cat/2.wav', 'test/dog/3.wav')
  write(tmp_path, '', 'test/cow/remark.txt')
  assert from_folder(tmp_path).notes == ['no usable clip is left of cow']


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
