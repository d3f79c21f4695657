"""Scoring again: what it needs, and what of a bundle belongs to what."""

import dataclasses
import shutil

import pytest

from aec_jax import experiment
from aec_jax.bundle import store
from aec_jax.errors import UserError


def test_what_was_never_trained_is_not_trained_to_be_scored(
  dcase_run, tmp_path
):
  config, _, workdir = dcase_run
  cache_dir, begun = workdir.parent / 'cache', tmp_path / 'begun'
  begun.mkdir()
  shutil.copy(workdir / 'experiment.json', begun)
  before = {path.name for path in cache_dir.iterdir()}
  with pytest.raises(UserError, match='holds no checkpoint: train first'):
    experiment.run(config, begun, cache_dir, 'evaluate')
  assert {path.name for path in cache_dir.iterdir()} == before
  # Nor is an extractor, which the cache has lost.
  shutil.copytree(workdir / 'checkpoints', begun / 'checkpoints')
  for extractor in cache_dir.glob('extractor-balanced_first-*'):
    extractor.rename(tmp_path / extractor.name)
  try:
    with pytest.raises(UserError, match='no extractor balanced_first.*train'):
      experiment.run(config, begun, cache_dir, 'evaluate')
  finally:
    for extractor in tmp_path.glob('extractor-*'):
      extractor.rename(cache_dir / extractor.name)


def test_ensembles_are_told_apart_by_their_place(
  dcase_run, tmp_path, monkeypatch
):
  """Of whole clips, the longest may have as many segments as other pieces."""
  config, results, workdir = dcase_run
  shutil.copytree(workdir, tmp_path / 'run')
  read = store.read

  def of_two_segments(folder):
    found = read(folder)
    both = [dataclasses.replace(e, length=2) for e in found.ensembles]
    return dataclasses.replace(found, ensembles=both)

  monkeypatch.setattr(store, 'read', of_two_segments)
  again = experiment.run(
    config, tmp_path / 'run', workdir.parent / 'cache', 'evaluate'
  )
  assert again['metrics'] == pytest.approx(results['metrics'], rel=1e-6)
