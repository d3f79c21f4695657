"""The page to try a bundle: what is behind it, its limits, its server."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from browsing import PATIENCE, chromium

import aec_jax
from aec_jax import answers, archive, demo, embed, hearing, index
from aec_jax.errors import UserError
from aec_jax.run import console


@pytest.fixture
def bundle(hearing):
  return hearing


@pytest.fixture
def sound(tmp_path):
  path = tmp_path / 'a.wav'
  rng = np.random.default_rng(0)
  soundfile.write(path, rng.uniform(-0.5, 0.5, 16000), 8000)
  return str(path)


@pytest.fixture
def tagger(bundle):
  return aec_jax.load(*bundle)


@pytest.fixture
def hear(tagger):
  return hearing.Hearing(tagger, None, 60).hear


def test_it_hears_what_the_bundle_hears(tagger, hear, sound):
  tags, body = hear(sound)
  waveform, rate = soundfile.read(sound)
  expected = tagger.predict(waveform, rate)
  assert list(tags) == [label for label, _ in expected.tags]
  np.testing.assert_allclose(
    list(tags.values()), [p for _, p in expected.tags], rtol=1e-4
  )
  assert body.count('data:image/png;base64,') == 4
  decided = answers.Decisions(
    tagger, None, 3, np.ones(len(tagger.classes), bool)
  )
  for label, probability, *_ in decided.rows(expected):
    assert f'>{label}</td><td>{probability:.3f}</td>' in body
  there = any(yes for *_, yes in decided.rows(expected))
  assert (f'>{answers.NONE}</td>' in body) != there
  assert 'in the index' not in body


def test_it_says_what_is_odd_and_finds_what_is_alike(
  bundle, tagger, sound, tmp_path, capsys
):
  folder, vggish, pca = bundle
  options = [f'--bundle={folder}', f'--vggish={vggish}', f'--pca={pca}']
  out = tmp_path / 'x.npz'
  assert embed.main([*options, f'--out={out}', sound]) == 0
  opened = index.open_index(str(out))
  opened.check(tagger)
  other = tmp_path / 'other.wav'
  wave, rate = soundfile.read(sound)
  soundfile.write(other, 30000 * wave, rate, 'FLOAT')
  _, body = hearing.Hearing(tagger, opened, 60).hear(str(other))
  assert 'Note: ' in body and 'divided by 32768' in body
  assert body.count(f'>{sound}</td>') == 2  # 0.96 s each
  assert body.count('<audio controls src="data:audio/mpeg;base64,') == 2
  _, body = hearing.Hearing(tagger, opened, 60).hear(sound)
  assert sound not in body  # its own pieces
  soundfile.write(other, 0 * wave, rate)
  tags, body = hearing.Hearing(tagger, opened, 60).hear(str(other))
  assert not tags and 'Silence is like nothing' in body
  about = archive.identity(tagger) | {'released': 'x'}
  with pytest.raises(UserError, match='another VGGish or PCA'):
    index.Index('x', about, lambda: iter(())).check(tagger)


def test_what_it_says_has_no_control_characters(tagger, sound):
  names = [f'a\u202e\x1b{k}\nb' for k in range(len(tagger.classes))]
  tagger.classes = tuple(names)
  tags, body = hearing.Hearing(tagger, None, 60).hear(sound)
  assert all(label.isprintable() for label in tags)
  assert all(c.isprintable() for c in body.replace('\n', ''))
  assert body.count(r'\u202e\x1b') >= 3 and 'b</td>' in body
  assert '\nb</td>' not in body


def test_long_and_unreadable_sounds_are_refused(tagger, sound):
  with pytest.raises(UserError, match='longer than 1 s'):
    hearing.Hearing(tagger, None, 1).hear(sound)
  with open(sound, 'w') as file:
    file.write('no sound')
  with pytest.raises(UserError, match='the sound is not readable') as error:
    hearing.Hearing(tagger, None, 1).hear(sound)
  assert os.path.dirname(sound) not in str(error.value)


def test_the_server_is_local_limited_and_cleans_up(
  tagger, hear, sound, tmp_path, monkeypatch
):
  import gradio_client

  monkeypatch.setattr(demo, 'MAX_BYTES', 1_000_000)
  with demo.serving(tagger, hear, '127.0.0.1', 0) as page:
    folder = os.environ['GRADIO_TEMP_DIR']
    assert page.local_url.startswith('http://127.0.0.1:')
    assert page.share_url is None and page.max_file_size == demo.MAX_BYTES
    assert not page.analytics_enabled
    client = gradio_client.Client(
      page.local_url, verbose=False, analytics_enabled=False
    )
    tags, body = client.predict(
      gradio_client.handle_file(sound), api_name='/tag'
    )
    assert tags['label'] in tagger.classes and len(tags['confidences']) == 5
    assert 'data:image/png' in body
    unreadable = tmp_path / 'bad.wav'
    unreadable.write_text('no sound')
    tags, body = client.predict(
      gradio_client.handle_file(str(unreadable)), api_name='/tag'
    )
    assert not tags and 'the sound is not readable' in body
    large = tmp_path / 'large.wav'
    soundfile.write(large, np.zeros(demo.MAX_BYTES // 2 + 9999), 44100)
    with pytest.raises(Exception, match=r'413|exceeds|large'):
      client.predict(gradio_client.handle_file(str(large)), api_name='/tag')
    with pytest.raises(UserError, match='--port is'):
      demo.serving(tagger, hear, '127.0.0.1', page.server_port).__enter__()
    assert os.listdir(folder)
  assert not os.path.exists(folder)


def test_a_port_that_is_none_is_refused():
  for port in (70000, -1):
    with pytest.raises(UserError, match=f'--port is {port}; it must be'):
      demo.main(['--bundle=x', f'--port={port}'])


def test_it_hears_the_microphone(tagger, hear, tmp_path):
  path, hertz, heard = tmp_path / 'tone.wav', 1000, []
  tone = 0.3 * np.sin(2 * np.pi * hertz / 48000 * np.arange(96000))
  soundfile.write(path, tone, 48000)  # played again and again

  def listen(recorded):
    heard.append(soundfile.read(recorded))
    return hear(recorded)

  with (
    demo.serving(tagger, listen, '127.0.0.1', 0) as page,
    chromium(
      '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
      f'--use-file-for-fake-audio-capture={path}',
    ) as browser,
  ):  # fmt: skip
    tab = browser.new_page()
    tab.set_default_timeout(PATIENCE)
    tab.goto(page.local_url)
    tab.get_by_label('Record audio').first.click()
    tab.get_by_role('button', name='Record', exact=True).click()
    tab.get_by_role('button', name='Stop', exact=True).wait_for()
    tab.wait_for_timeout(3000)  # of the microphone
    tab.get_by_role('button', name='Stop', exact=True).click()
    tab.locator('.heard img').first.wait_for()
    shown = tab.locator('body').inner_text()
    assert 'When it is heard' in shown and tagger.classes[0] in shown
  (x, rate), *again = heard
  assert not again and len(x) > rate / 2
  x = x.reshape(len(x), -1)[:, 0]
  loudest = np.abs(np.fft.rfft(x)).argmax() * rate / len(x)
  assert loudest == pytest.approx(hertz, abs=5)


def test_what_a_killed_page_has_left_is_deleted(tmp_path):
  with subprocess.Popen(['true']) as process:
    gone = process.pid
  for number in (gone, os.getppid(), os.getpid()):
    (tmp_path / f'{demo._PREFIX}{number}-x' / 'upload').mkdir(parents=True)
  (tmp_path / f'{demo._PREFIX}{gone}-link').symlink_to(tmp_path)
  (tmp_path / 'another').mkdir()
  demo.clear_left(tmp_path)
  names = sorted(path.name for path in tmp_path.iterdir())
  assert f'{demo._PREFIX}{gone}-x' not in names and len(names) == 4


def test_the_oldest_uploads_go_first(tmp_path):
  for age, name in enumerate('cab'):
    path = tmp_path / name / 'a.wav'
    path.parent.mkdir()
    path.write_bytes(bytes(100))
    os.utime(path, (1000 - age, 1000 - age))
  demo.keep_below(tmp_path, 300)
  assert len(list(tmp_path.rglob('*.wav'))) == 3
  demo.keep_below(tmp_path, 250)
  assert sorted(p.parent.name for p in tmp_path.rglob('*.wav')) == ['a', 'c']


def test_without_gradio_it_says_how_to_get_it(bundle, monkeypatch, capfd):
  monkeypatch.setitem(sys.modules, 'gradio', None)
  status = console.run_command(lambda: demo.main([f'--bundle={bundle[0]}']))
  out, err = capfd.readouterr()
  assert (status, out) == (2, '')
  assert err.count('\n') == 1 and "pip install '.[demo]'" in err
