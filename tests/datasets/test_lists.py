"""Lists of clips: delimiters, encodings, headings, columns, several labels."""

import dcase_data
import numpy as np
import pytest
import soundfile

from aec_jax import sources
from aec_jax.audio import decode
from aec_jax.datasets import labels
from aec_jax.datasets.folders import from_folder
from aec_jax.datasets.lists import read_list
from aec_jax.errors import UserError
from aec_jax.features import log_mels

ROWS = 'file,label,fold\na.wav,"Male speech, man",1\nb.wav,Dog,2\nc.wav,Cat,3\n'


def wav(path, seconds=0.001, rate=8000):
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, np.zeros(round(seconds * rate), np.float32), rate)


@pytest.fixture
def root(tmp_path):
  for name in 'abcd':
    wav(tmp_path / 'audio' / f'{name}.wav')
  return tmp_path


def write(root, text, name='labels.csv', encoding='utf-8'):
  (root / name).parent.mkdir(parents=True, exist_ok=True)
  (root / name).write_bytes(text.encode(encoding))


def names_of(clips):
  return {
    clip: tuple(clips.names_of(i)) for i, clip in enumerate(clips.ids.tolist())
  }


def of(root, text, **options):
  write(root, text)
  return names_of(from_folder(root, **options))


def refused(root, text, **options):
  write(root, text)
  with pytest.raises(UserError) as error:
    from_folder(root, **options)
  assert '\n' not in str(error.value)
  return str(error.value)


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


@pytest.mark.parametrize('fold', ['1.5', 'one', '-1', '99999', '40000'])
def test_no_folds(root, fold):
  said = refused(root, f'file,label,fold\na.wav,x,{fold}\n')
  assert f"row 2, column fold: '{fold}' is not a whole number" in said


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


def test_more_classes_than_can_be_numbered(root, monkeypatch):
  monkeypatch.setattr(labels, '_MOST', 2)
  text = 'file,label\na.wav,x\nb.wav,y\nc.wav,z\n'
  assert '3 classes; 2 are the most' in refused(root, text)
  labels.check_count(2, str(root))


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


@pytest.mark.parametrize(
  'text',
  [
    'file,labels\na.wav,x;y\nb.wav,y\nc.wav,\n',
    'file,labels\na.wav,x | y\nb.wav,y\nc.wav,nan\n',
    'file,labels\na.wav,"x, y"\nb.wav,y\nd.wav,x\nc.wav,\n',
    'file,labels\na.wav,"x,y"\nb.wav,y\nc.wav,\n',
    "file,labels\na.wav,\"['x', 'y']\"\nb.wav,\"['y']\"\nc.wav,[]\n",
    'file,labels\na.wav,"[x, y]"\nb.wav,y\nc.wav,\n',
    'file;labels\na.wav;x,y\nb.wav;y\nc.wav;\n',
    'file,x,y\na.wav,1,1\nb.wav,0,1\nc.wav,0,0\n',
    'file,y,x\na.wav,1.0,True\nb.wav,1.0,False\nc.wav,0.0,false\n',
    'file,labels\na.wav," ""x"" ; ""y"" "\nb.wav,""y""\nc.wav,""\n',
  ],
)
def test_several_labels(root, text):
  found = of(root, text.replace('""y""\n', '"""y"""\n'))
  found.pop('d.wav', None)
  assert found == {'a.wav': ('x', 'y'), 'b.wav': ('y',), 'c.wav': ()}


def test_a_column_a_class_keeps_its_name(root):
  text = 'File,Siren,"Dog, small"\na.wav,1,1\nb.wav,0,1\n'
  assert of(root, text)['a.wav'] == ('Dog, small', 'Siren')
  assert from_folder(root).notes == [
    'labels.csv: each column of 0 and 1 is a class: Siren, Dog, small'
  ]


def test_mids_have_the_names_of_a_class_list_beside(root):
  text = 'file,label\na.wav,"/m/1,/t/dd00002"\nb.wav,/m/1\n'
  assert of(root, text)['a.wav'] == ('/m/1', '/t/dd00002')
  write(
    root,
    'index,mid,display_name\n0,/m/1,"Male speech, man speaking"\n1,/m/2,b\n',
    'class_labels_indices.csv',
  )
  assert of(root, text) == {
    'a.wav': ('/t/dd00002', 'Male speech, man speaking'),
    'b.wav': ('Male speech, man speaking',),
  }
  assert from_folder(root).notes == []


def test_a_comma_under_label_is_part_of_a_name_unless_all_parts_are_labels(
  root,
):
  text = 'file,label\na.wav,"x,y"\nb.wav,x\nc.wav,y\nd.wav,"Male, man"\n'
  assert of(root, text) == {
    'a.wav': ('x', 'y'),
    'b.wav': ('x',),
    'c.wav': ('y',),
    'd.wav': ('Male, man',),
  }
  notes = from_folder(root).notes
  assert 'a comma in 1 cells stands between labels' in notes[0]
  assert "part of a name in 'Male, man'" in notes[1]
  assert notes[0] in from_folder(root).describe()
  assert of(root, text, separator=',')['d.wav'] == ('Male', 'man')


def test_a_comma_that_may_be_both_is_refused(root):
  text = 'file,labels\na.wav,"Male speech, man"\nb.wav,x\n'
  said = refused(root, text)
  assert "row 2: 'Male speech, man' may be one label or several" in said
  assert '--config.label_separator' in said
  assert of(root, text, separator=';')['a.wav'] == ('Male speech, man',)


@pytest.mark.parametrize('cell', ['', 'nan', 'NaN', 'NA', '""'])
def test_no_label(root, cell):
  said = refused(root, f'file,label\na.wav,x\nb.wav,{cell}\n')
  assert 'row 3, column label: empty' in said


def test_nan_in_quotes_is_a_name(root):
  text = 'file,label\na.wav,x\nb.wav,"nan"\n'
  assert of(root, text)['b.wav'] == ('nan',)


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
    'start and end of 1 files lie beyond them: they are taken whole'
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


def test_read_list_of_a_table_without_rows(root):
  write(root, 'file,label\n')
  with pytest.raises(UserError, match='no rows below the headings'):
    read_list(str(root / 'labels.csv'), {'file': ('file',)})


def test_a_class_whose_files_are_gone_is_said(root):
  write(
    root,
    'file,label,split\na.wav,x,train\nb.wav,y,test\nlost.wav,z,train\n',
  )
  clips = from_folder(root)
  assert clips.classes == ('x', 'y', 'z')
  assert clips.notes == [
    'no usable clip is left of z',
    'no training clip has y',
  ]


def test_clips_without_a_label_are_said(root):
  write(root, 'file,labels\na.wav,x\nb.wav,\nc.wav,\nd.wav,y\n')
  config = dcase_data.tiny_config('folder_multi', root)
  clips = log_mels.list_clips(config, root)
  assert clips.ids.tolist() == ['a.wav', 'd.wav']
  said = "2 clips without a label are left out: 'b.wav' is the first"
  assert clips.notes == [said] and said in clips.describe()
  found = sources.Recorded(config, root / 'cache', scoring=True).notes
  assert {'file': str(root), 'reason': said} in found
  assert {'file': 'a.wav', 'reason': 'silent'} in found
