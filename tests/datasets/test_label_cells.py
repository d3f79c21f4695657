"""The labels of lists: several in a cell, a column a class, none."""

import dcase_data
import pytest
from list_data import of, refused, write

from aec_jax import sources
from aec_jax.datasets import labels
from aec_jax.datasets.folders import from_folder
from aec_jax.features import log_mels


def test_more_classes_than_can_be_numbered(root, monkeypatch):
  monkeypatch.setattr(labels, '_MOST', 2)
  text = 'file,label\na.wav,x\nb.wav,y\nc.wav,z\n'
  assert '3 classes; 2 are the most' in refused(root, text)
  labels.check_count(2, str(root))


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


@pytest.mark.parametrize('cell', ['', 'nan', 'NaN', 'NA', 'N/A', '#N/A', '""'])
def test_no_label(root, cell):
  said = refused(root, f'file,label\na.wav,x\nb.wav,{cell}\n')
  assert 'row 3, column label: empty' in said


def test_words_that_may_mean_no_label_are_said(root):
  text = 'file,label\na.wav,x\nb.wav,None\nc.wav,-\nd.wav,"n/a"\n'
  assert of(root, text)['b.wav'] == ('None',)
  assert from_folder(root).notes == [
    "labels.csv: '-', 'None' are classes: leave such cells empty, if they mean"
    ' no label'
  ]


def test_nan_in_quotes_is_a_name(root):
  text = 'file,label\na.wav,x\nb.wav,"nan"\n'
  assert of(root, text)['b.wav'] == ('nan',)


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
