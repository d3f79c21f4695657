"""Parts of files, as lists name them by their start and end."""

import numpy as np
import pytest
import soundfile
from list_data import refused, wav, write

from aec_jax.audio import decode
from aec_jax.datasets.folders import from_folder


def test_parts_of_files(tmp_path):
  wav(tmp_path / 'a.wav', 4)
  wav(tmp_path / 'b.wav', 4)
  write(
    tmp_path,
    'file,label,start,end\na.wav,x,0,1.5\na.wav,y,2,\nb.wav,x,,4.01\n',
  )
  clips = from_folder(tmp_path)
  assert clips.ids.tolist() == ['a.wav:0-1.5', 'a.wav:2-4', 'b.wav']
  assert clips.paths[0] == clips.paths[1]
  np.testing.assert_array_equal(clips.start, [0, 2, np.nan])
  np.testing.assert_array_equal(clips.end, [1.5, 4, np.nan])
  assert clips.group.tolist() == ['a.wav', 'a.wav', '']
  assert clips.start.dtype == clips.end.dtype == np.float64


@pytest.mark.parametrize(
  'headings, row',
  [
    ('onset,offset', '1,3'),
    ('offset,duration', '1,2'),
    ('start,duration', '1,2'),
    ('start,end,duration', '1,3,4'),
    ('offset,end', '1,3'),
    ('start_seconds,offset,duration_seconds', '1,3,4'),
  ],
)
def test_headings_of_parts(tmp_path, headings, row):
  wav(tmp_path / 'a.wav', 4)
  wav(tmp_path / 'b.wav', 4)
  blank = ',' * row.count(',')
  write(tmp_path, f'file,label,{headings}\na.wav,x,{row}\nb.wav,y,{blank}\n')
  clips = from_folder(tmp_path)
  assert clips.ids.tolist() == ['a.wav:1-3', 'b.wav']
  said = 'an offset is where a part begins, for there is no start'
  assert any(said in note for note in clips.notes) == (
    'start' not in headings and 'onset' not in headings
  )


def test_a_duration_without_a_start_is_the_whole_file_s(tmp_path):
  wav(tmp_path / 'a.wav', 4)
  write(tmp_path, 'file,label,duration\na.wav,x,3.99\n')
  clips = from_folder(tmp_path)
  assert np.isnan(clips.end).all() and clips.ids.tolist() == ['a.wav']
  assert clips.notes == ['labels.csv: columns that are not used: duration']
  said = refused(tmp_path, 'file,label,offset,duration\na.wav,x,1,0\n')
  assert 'column duration: ends at 1 s and begins at 1 s' in said


def test_parts_of_files_whose_headers_only_estimate(tmp_path, monkeypatch):
  for name in 'abc':
    noise = np.random.default_rng(0).normal(0, 0.1, 32000)
    soundfile.write(tmp_path / f'{name}.ogg', noise, 8000)
  write(
    tmp_path,
    'file,label,start,end\na.ogg,x,0,1\na.ogg,y,3,4\nb.ogg,y,3,\nc.ogg,x,3,9\n',
  )
  monkeypatch.setattr(decode, 'seconds_of', lambda path: 2.0)
  clips = from_folder(tmp_path)
  ids = ['a.ogg:0-1', 'a.ogg:3-4', 'b.ogg:3-4', 'c.ogg']
  assert clips.ids.tolist() == ids and not clips.skipped
  monkeypatch.setattr(decode, 'seconds_of', lambda path: None)
  assert from_folder(tmp_path).ids.tolist() == ids


def test_a_whole_file_and_a_part_of_it_belong_together(tmp_path):
  wav(tmp_path / 'a.wav', 4)
  wav(tmp_path / 'b.wav', 4)
  write(
    tmp_path,
    'file,label,start,end,split\na.wav,x,,,train\nb.wav,y,,,train\n'
    './a.wav,x,1,2,test\n',
  )
  clips = from_folder(tmp_path)
  assert clips.group.tolist() == ['a.wav', '', 'a.wav']
  assert clips.notes == ['pieces of one recording are in several splits: a.wav']


def test_a_group_in_some_rows_is_all_its_file_s(tmp_path):
  for name in 'abc':
    wav(tmp_path / f'{name}.wav', 9)
  head = 'file,label,start,end,group,split\n'
  rows = 'a.wav,x,0,1,,train\na.wav,x,1,3,g1,train\na.wav,y,6,,,test\n'
  others = 'b.wav,y,0,1,,train\nb.wav,x,,,,train\nc.wav,x,,,,train\n'
  write(tmp_path, head + rows + others)
  clips = from_folder(tmp_path)
  assert clips.group.tolist() == ['g1'] * 3 + ['b.wav'] * 2 + ['']
  assert clips.notes == ['pieces of one recording are in several splits: g1']
  write(tmp_path, f'{head}{rows}./a.wav,y,7,9,g2,train\n{others}')
  clips = from_folder(tmp_path)
  assert clips.group.tolist()[:4] == ['g1', 'g1', 'g1', 'g2']
  assert clips.notes[0] == 'clips of one file are in several groups: a.wav'


def test_parts_of_long_recordings_have_ids_of_their_own(tmp_path, monkeypatch):
  wav(tmp_path / 'a.wav')
  monkeypatch.setattr(decode, 'seconds_of', lambda path: 2e6)
  spans = ['12000.01-12000.02', '12000.02-12000.03', '1234567-1234568', '0.5-1']
  rows = [f'a.wav,x,{span.replace("-", ",")}' for span in spans]
  write(tmp_path, '\n'.join(['file,label,start,end', *rows, 'a.wav,y,,']))
  clips = from_folder(tmp_path)
  assert clips.ids.tolist() == [*(f'a.wav:{span}' for span in spans), 'a.wav']


def test_parts_beyond_their_files(tmp_path):
  wav(tmp_path / 'a.wav', 1)
  wav(tmp_path / 'b.wav', 4)
  write(
    tmp_path,
    'file,label,onset,offset\na.wav,x,60,61\nb.wav,y,1,2\nb.wav,x,3,9\n',
  )
  clips = from_folder(tmp_path)
  assert clips.ids.tolist() == ['a.wav', 'b.wav:1-2']
  assert np.isnan(clips.start[0])
  assert clips.notes == [
    'files whose start and end lie beyond them, taken whole: 1'
  ]
  assert clips.skipped == [
    {
      'file': 'b.wav:3-9',
      'reason': 'ends beyond its file',
    }
  ]


@pytest.mark.parametrize(
  'row, said',
  [
    ('a.wav,x,2,1', 'column end: ends at 1 s and begins at 2 s'),
    ('a.wav,x,-1,1', "column start: '-1' is not a number of seconds"),
    ('a.wav,x,soon,1', "column start: 'soon' is not a number of seconds"),
    ('a.wav,x,1,2\na.wav,y,1,2', "'a.wav' is in row 2 already"),
  ],
)
def test_faulty_parts(root, row, said):
  assert said in refused(root, f'file,label,start,end\n{row}\n')
