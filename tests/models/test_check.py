"""The check of weights, against the reference's layers in TensorFlow."""

import numpy as np
import pytest
import soxr
from test_convert import by_our_names, released, write_checkpoint
from test_vggish import tensorflow_vggish, write_pca

from aec_jax.models import check, convert, embedding_postprocess
from aec_jax.run.console import run_command

WIDTH = 1 / 16


def log_mel_examples(x):
  """VGGish's front end in float64: (sample,) -> (example, 96, 64)."""
  frames = np.lib.stride_tricks.sliding_window_view(x, 400)[::160]
  hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
  spectra = np.abs(np.fft.rfft(frames * hann, 512))
  edges = np.linspace(*1127 * np.log1p(np.array([125, 7500]) / 700), 66)
  bins = 1127 * np.log1p(np.linspace(0, 8000, 257) / 700)[:, None]
  rise = (bins - edges[:-2]) / np.diff(edges)[:-1]
  fall = (edges[2:] - bins) / np.diff(edges)[1:]
  bands = spectra @ np.maximum(0, np.minimum(rise, fall))
  count = len(bands) // 96
  return np.log(bands + 0.01)[: count * 96].reshape(count, 96, 64)


def sine(rate, endpoint):
  times = np.arange(3 * rate) / (rate - endpoint / 3)
  x = np.sin(2000 * np.pi * times)
  return x if rate == 16_000 else soxr.resample(x, rate, 16_000)


def in_tensorflow(weights, pca, statement):
  """What `check.statistics` is to be."""
  examples = log_mel_examples(sine(statement.rate, statement.endpoint))
  x = tensorflow_vggish(
    weights, examples.astype(np.float32), statement.activation == 'relu'
  )
  y = np.clip((x - pca.means) @ pca.matrix.T, -2, 2)
  coded = np.trunc((y + 2) * 63.75)
  return check.Statistics(x.mean(), x.std(), coded.mean(), coded.std())


@pytest.fixture(scope='module')
def case(tmp_path_factory):
  """Paths of weights and PCA, and what they give in TensorFlow."""
  folder = tmp_path_factory.mktemp('check')
  variables = {
    # Activations near 1, embeddings smaller, as the PCA's output is clipped.
    name: x * np.float32(0.1 if x.ndim < 2 else (2 / x[..., 0].size) ** 0.5)
    for name, x in released(WIDTH).items()
  }
  variables['vggish/fc2/weights'] *= np.float32(0.1)
  ckpt = write_checkpoint(folder / 'model.ckpt', variables, version=1)
  write_pca(folder / 'pca.npz')
  pca = embedding_postprocess.load_pca(folder / 'pca.npz')
  expected = [
    in_tensorflow(by_our_names(variables), pca, s) for s in check.STATEMENTS
  ]
  return ckpt, folder / 'pca.npz', expected


def test_it_makes_what_tensorflow_makes(case):
  ckpt, pca, expected = case
  params, width = convert.load_any_width(ckpt)
  pca = embedding_postprocess.load_pca(pca)
  found = check.statistics(params, width, pca)
  for ours, wanted in zip(found, expected, strict=True):
    assert 20 < wanted.coded_deviation < 120
    np.testing.assert_allclose(ours, wanted, rtol=2e-3, atol=1e-3)
  assert np.ptp([s.deviation for s in expected]) > 0.01


def test_log_mel_is_that_of_librosas_spectrogram(monkeypatch):
  assert check.log_mel_error() < 1e-5
  ours = check.log_mel.log_mel
  monkeypatch.setattr(check.log_mel, 'log_mel', lambda x: 1.01 * ours(x))
  with pytest.raises(check.UserError, match='computes otherwise'):
    check.check_front_end()


def state(monkeypatch, statistics):
  """Puts statements of three digits in the place of the release's."""
  monkeypatch.setattr(
    check,
    'STATEMENTS',
    [
      s._replace(
        statistics=check.Statistics(*(float(f'{x:.3g}') for x in numbers))
      )
      for s, numbers in zip(check.STATEMENTS, statistics, strict=True)
    ],
  )


def command(case):
  ckpt, pca, _ = case
  return run_command(lambda: check.main([f'--weights={ckpt}', f'--pca={pca}']))


def test_the_release_s_are_told(case, monkeypatch, capsys):
  state(monkeypatch, case[2])
  assert command(case) == 0
  first, *rows, last = capsys.readouterr().out.splitlines()
  assert first.startswith("log-mel differs from librosa's by at most ")
  assert last.startswith("waveform → embedding equals the release's of July 20")
  assert last.endswith("embedding_activation='linear'")
  assert len(rows) == 2 + 2 * 3
  assert all(float(row.split()[-1][:-1]) < 1 for row in rows[3::2])


def test_the_first_release_s_need_relu(case, monkeypatch, capsys):
  wrong = check.Statistics(1, 1, 1, 1)
  state(monkeypatch, [wrong, wrong, case[2][2]])
  assert command(case) == 0
  last = capsys.readouterr().out.splitlines()[-1]
  assert 'of 2017' in last and last.endswith("embedding_activation='relu'")


def test_what_is_only_close_is_said_to_be(case, monkeypatch, capsys):
  shifted = [
    s._replace(deviation=1.05 * s.deviation, mean=s.mean + 9) for s in case[2]
  ]
  state(monkeypatch, shifted)
  assert command(case) == 0
  last = capsys.readouterr().out.splitlines()[-1]
  assert last.startswith("by the release's own tolerance")


def test_others_are_refused(case, capsys):
  assert command(case) == 2
  out, error = capsys.readouterr()
  for numbers in (
    ('0.000657', '0.343', '126', '89.3'),
    ('-0.0333', '0.38', '122', '93.5'),
    ('0.131', '0.238', '123', '75'),
  ):
    assert any(row.split()[-4:] == [*numbers] for row in out.splitlines())
  assert error.startswith('error: these weights') and error.count('\n') == 1
  nan = check.Statistics(*[np.nan] * 4)
  errors = [check.difference(nan, s.statistics) for s in check.STATEMENTS]
  with pytest.raises(check.UserError):
    check.verdict(errors)


def test_help_and_missing_files(case, tmp_path, capsys):
  with pytest.raises(SystemExit) as status:
    check.main(['--help'])
  assert status.value.code == 0
  assert '--weights' in capsys.readouterr().out
  ckpt, *_ = case
  for argv in (
    [],
    [f'--weights={ckpt}', f'--pca={tmp_path / "none.npz"}'],
    [f'--weights={tmp_path / "none"}', f'--pca={case[1]}'],
  ):
    assert run_command(lambda argv=argv: check.main(argv)) == 2
    assert capsys.readouterr().err.count('\n') == 1
