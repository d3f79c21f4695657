"""Clips of any length become the same examples, in little memory."""

import dataclasses
import threading

import dcase_data
import numpy as np
import pytest
import soundfile

from aec_jax.audio import (
  FRONT_END,
  decode,
  stream,
  vocoder,
  waveform,
)
from aec_jax.audio.log_mel import log_mel
from aec_jax.errors import UserError
from aec_jax.features import clip_sounds, file_parts, log_mels
from aec_jax.run import files, threads

# (file, start, end) of each clip; the files are of 0.5, 3 and 5 s.
CLIPS = [
  ('short.wav', '', ''), ('long.flac', '', ''), ('longer.wav', '0.3', '0.9'),
  ('longer.wav', '', '3.5'), ('longer.wav', '1.25', ''), ('long.flac', '2', ''),
]  # fmt: skip
SECONDS = {'short.wav': 0.5, 'long.flac': 3.0, 'longer.wav': 5.0}


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
  root, rng = tmp_path_factory.mktemp('sounds'), np.random.default_rng(0)
  for name, seconds in SECONDS.items():
    noise = rng.uniform(-0.3, 0.3, (round(22_050 * seconds), 2))
    noise[:4000] = 0  # to be trimmed
    soundfile.write(root / name, noise, 22_050)
  rows = [f'{file},{"ab"[i % 2]},{start},{end}' for i, (file, start, end)
          in enumerate(CLIPS)]  # fmt: skip
  (root / 'labels.csv').write_text('\n'.join(['file,labels,start,end', *rows]))
  return log_mels.list_clips(dcase_data.tiny_config('folder', root), root)


@pytest.fixture(autouse=True)
def small(monkeypatch):
  monkeypatch.setattr(stream, 'SHORT', 1)  # seconds
  monkeypatch.setattr(stream, '_BLOCK', 4096)
  monkeypatch.setattr(clip_sounds, '_COPIED', 2)


def expected(clips, clip, semitones):
  """Its examples by functions of whole waveforms."""
  samples, rate = waveform.read(clips.paths[clip])
  times = np.nan_to_num([clips.start[clip], clips.end[clip]], nan=[0, 99])
  first, last = np.rint(times * rate).astype(int)
  samples = waveform.prepare(samples[first:last], rate, semitones)
  found = log_mel(waveform.split_examples(samples), FRONT_END)
  return np.asarray(found).astype(np.float16)


def test_long_clips_parts_and_shifts_are_those_of_whole_waveforms(
  clips, tmp_path
):
  assert len(clips) == len(CLIPS)
  jobs = [(i, shift) for shift in (0, -3) for i in range(len(CLIPS))]
  with files.GrowingNpy(tmp_path / 'x.npy') as rows:
    found = list(clip_sounds.append(rows, clips, jobs, FRONT_END, tmp_path))
  assert [sound.words for sound in found] == [[]] * len(jobs)
  wanted = [expected(clips, *job) for job in jobs]
  assert [sound.count for sound in found] == list(map(len, wanted))
  whole = np.load(tmp_path / 'x.npy', allow_pickle=False)
  np.testing.assert_array_equal(whole, np.concatenate(wanted))
  assert sum(sound.log_mels is not None for sound in found) == 6
  assert [path.name for path in tmp_path.iterdir()] == ['x.npy']


def test_short_files_are_read_once_and_long_ones_never_held(clips, monkeypatch):
  reads, blocks = [], decode.blocks

  def counting(name, *rest):
    reads.append(name)
    return blocks(name, *rest)

  monkeypatch.setattr(decode, 'blocks', counting)
  for name, times in (('short.wav', 1), ('long.flac', 2)):
    reads.clear()
    path = next(p for p in clips.paths if p.endswith(name))
    held = stream.Recording.of_file(path).held()
    survey = stream.survey(held, 60.0, True)
    assert len(list(stream.examples(held, survey)))
    assert len(reads) == times


def test_the_report_plays_the_first_seconds(clips):
  found = clip_sounds.first_seconds(clips, 1, FRONT_END, 1.5)
  samples, rate = waveform.read(clips.paths[1])
  whole = waveform.prepare(samples, rate)
  np.testing.assert_array_equal(found, whole[: round(1.5 * 16_000)])


def test_a_part_without_samples_is_unreadable(clips, tmp_path):
  start = np.where(np.arange(len(clips)) == 2, 7.0, clips.start)
  late = dataclasses.replace(clips, start=start, end=start + 1)
  with files.GrowingNpy(tmp_path / 'x.npy') as rows:
    (found,) = clip_sounds.append(rows, late, [(2, 0)], FRONT_END, tmp_path)
  assert found.count is None
  assert found.words == ['has no samples from 7.0 to 8.0 s']


@pytest.mark.parametrize('ratio', [0.7, 1.0, 1.3])
def test_a_stretched_waveform_does_not_depend_on_its_blocks(monkeypatch, ratio):
  x = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
  x[5000:9000] = 0
  whole = vocoder.stretch(x, ratio, round(ratio * len(x)), 200)
  monkeypatch.setattr(vocoder, '_FRAMES', 7)
  parts = np.split(x, [100, 101, 8000])
  found = list(vocoder.stretched(parts, ratio, round(ratio * len(x)), 200))
  np.testing.assert_array_equal(np.concatenate(found), whole)


def test_what_is_not_wanted_any_more_is_not_begun():
  begun, go = [], threading.Event()

  def slow(item):
    begun.append(item)
    if item:
      go.wait(10)
    return item

  found = threads.map_in_order(slow, range(100), 2)
  assert next(found) == 0
  threading.Timer(0.1, go.set).start()
  found.close()
  assert len(begun) < 10


def test_a_copy_of_what_cannot_be_read_any_more_is_not_left_out(
  clips, tmp_path
):
  paths = [*clips.paths]
  paths[1] = str(tmp_path / 'gone.wav')
  gone = dataclasses.replace(clips, paths=np.array(paths))
  of = np.array([0, 1])
  with pytest.raises(UserError, match=r'gone\.wav: no such file; it could be'):
    log_mels._write(
      tmp_path, '', gone, [(0, -3), (1, 2)], FRONT_END, 'skip', of
    )
  log_mels._write(tmp_path, '', gone, [(0, 0), (1, 0)], FRONT_END, 'skip')
  (left_out,) = log_mels.ClipExamples.load(tmp_path).skipped
  assert left_out['reason'] == 'no such file'


def test_a_file_of_which_clips_are_parts_is_read_through(
  clips, monkeypatch, tmp_path
):
  """Twice, by threads that may overtake each other: to listen, and to cut."""
  begun, blocks = [], decode.blocks

  def counting(name, *rest):
    begun.append(name)
    return blocks(name, *rest)

  monkeypatch.setattr(decode, 'blocks', counting)
  start = np.arange(0, 4.2, 0.2)
  (whole,) = {path for path in clips.paths if path.endswith('longer.wav')}
  count = len(start)
  parts = dataclasses.replace(
    clips, paths=np.full(count, whole), start=start, end=start + 0.7
  )
  jobs = [(clip, 0) for clip in range(count)]
  with files.GrowingNpy(tmp_path / 'x.npy') as rows:
    found = list(clip_sounds.append(rows, parts, jobs, FRONT_END, tmp_path))
  assert [sound.words for sound in found] == [[]] * count
  # A thread that comes very late begins anew.
  assert 2 <= len(begun) < count // 2
  monkeypatch.undo()
  wanted = [expected(parts, clip, 0) for clip in range(count)]
  found = np.load(tmp_path / 'x.npy', allow_pickle=False)
  np.testing.assert_array_equal(found, np.concatenate(wanted))
  # Back to the beginning, and beyond the end.
  wholes = file_parts.Wholes()
  for times in ((4.0, 4.5), (0.25, 0.5), (4.8, 5.5)):
    (part, _) = wholes.part(whole, *times)
    samples, rate = waveform.read(whole)
    first, last = (round(t * rate) for t in times)
    run = np.concatenate([block for block, _ in part.blocks()])
    np.testing.assert_array_equal(run[:, 0], samples[first:last])
  with pytest.raises(UserError, match='no such file'):
    wholes.part(str(tmp_path / 'none.wav'), 0.0, 0.5)
