"""Files that say of which split clips are whose labels stand elsewhere."""

import pytest
from list_data import refusal, tree, write

from aec_jax.datasets.folders import from_folder


@pytest.mark.parametrize('top', ['', 'speech_commands/'])
def test_speech_commands(tmp_path, top):
  names = ('yes/a', 'yes/b', 'no/a', 'no/c', '_background_noise_/pink')
  tree(tmp_path, *(f'{top}{name}.wav' for name in names))
  write(tmp_path, 'yes/b.wav\n', f'{top}validation_list.txt')
  write(tmp_path, 'no/c.wav\nyes/lost.wav\n\n', f'{top}testing_list.txt')
  write(tmp_path, 'Read me.\n', f'{top}test.txt')
  clips = from_folder(tmp_path)
  assert {c.split('/', bool(top))[-1] for c in clips.ids} >= {'yes/a.wav'}
  found = dict(zip(clips.ids.tolist(), clips.split.tolist(), strict=True))
  assert found == {
    f'{top}_background_noise_/pink.wav': 'train', f'{top}no/a.wav': 'train',
    f'{top}no/c.wav': 'test', f'{top}yes/a.wav': 'train',
    f'{top}yes/b.wav': 'validation',
  }  # fmt: skip
  assert clips.notes[-4:] == [
    'folders with _ before are classes, too: _background_noise_',
    f'{top}testing_list.txt lists test clips',
    f'{top}testing_list.txt: 1 files that it names are not here',
    f'{top}validation_list.txt lists validation clips',
  ]


def test_gtzan_s_filtered_lists(tmp_path):
  names = [f'{c}/{c}.{i}.wav' for c in ('blues', 'rock') for i in range(3)]
  tree(tmp_path, *(f'genres/{name}' for name in names))
  write(tmp_path, '\n'.join(names[::3]), 'train_filtered.txt')
  write(tmp_path, '\n'.join(names[1::3]), 'test_filtered.txt')
  clips = from_folder(tmp_path)
  assert clips.split.tolist() == ['train', 'test'] * 2
  assert clips.notes[-1] == '2 clips that no such list names are left out'
  assert clips.skipped[0] == {
    'file': 'genres/blues/blues.2.wav',
    'reason': 'not in a class folder, or in no list of a split',
  }
  write(tmp_path, names[1], 'valid_filtered.txt')
  assert "'genres/blues/blues.1.wav' is in test_filtered.txt and in valid" in (
    refusal(tmp_path)
  )


def test_texts_of_something_else(tmp_path):
  tree(tmp_path, 'dog/1.wav', 'cat/2.wav')
  write(tmp_path, 'How we trained.\n', 'train.txt')
  assert from_folder(tmp_path).notes == []


def test_names_that_may_be_several_files(tmp_path):
  tree(tmp_path, 'dog/1.wav', 'cat/1.wav')
  write(tmp_path, '1.wav\n', 'test.txt')
  assert "'1.wav' of test.txt may be cat/1.wav, dog/1.wav" in refusal(tmp_path)


def tau(root, folds=(1,)):
  """TAU Urban Acoustic Scenes: three clips and a fold's lists."""
  names = [f'audio/{name}.wav' for name in 'abc']
  tree(root, *names)
  rows = [
    f'{n}\t{c}\n' for n, c in zip(names, ('park', 'bus', 'bus'), strict=True)
  ]
  head = 'filename\tscene_label\n'
  write(root, head + ''.join(rows), 'meta.csv')
  for fold in folds:
    place = f'evaluation_setup/fold{fold}'
    write(root, head + rows[0], f'{place}_train.csv')
    write(root, head + rows[1], f'{place}_evaluate.csv')
    write(root, f'filename\n{names[1]}\n', f'{place}_test.csv')
  return root


@pytest.mark.parametrize('above', ['', 'TAU-urban-development/'])
def test_tau(tmp_path, above):
  tau(tmp_path / above)
  clips = from_folder(tmp_path)
  assert clips.split.tolist() == ['train', 'test']
  assert f'{above}evaluation_setup/fold1_evaluate.csv lists test' in str(
    clips.notes
  )
  assert '1 clips that no such list names are left out' in clips.notes
  assert not any('not used' in note for note in clips.notes)


def test_setups_of_several_folds(tmp_path):
  clips = from_folder(tau(tmp_path, (1, 2)))
  assert set(clips.split) == {'train'} and len(clips) == 3
  (note,) = clips.notes
  assert note.startswith('not used: evaluation_setup/fold1_evaluate.csv, ')


def test_texts_beside_a_list(tmp_path):
  tree(tmp_path, 'audio/a.wav', 'audio/b.wav')
  text = 'file,label\na.wav,x\nb.wav,x\n'
  write(tmp_path, text)
  write(tmp_path, 'b.wav\n', 'test.txt')
  assert from_folder(tmp_path).split.tolist() == ['train', 'test']
  text = text.replace('x', 'x,train').replace('label', 'label,split')
  write(tmp_path, text)  # says it itself
  assert from_folder(tmp_path).split.tolist() == ['train', 'train']
