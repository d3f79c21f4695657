"""The page to try a bundle: what is behind it, its limits, its server."""

import os
import sys

import numpy as np
import pytest
import soundfile

import aec_jax
from aec_jax import demo
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


def test_it_hears_what_the_bundle_hears(bundle, sound):
  tagger = aec_jax.load(*bundle)
  tags, picture = demo.hear(tagger, sound)
  waveform, rate = soundfile.read(sound)
  expected = tagger.predict(waveform, rate)
  assert list(tags) == [label for label, _ in expected.tags]
  np.testing.assert_allclose(
    list(tags.values()), [p for _, p in expected.tags], rtol=1e-4
  )
  assert picture.count('data:image/png;base64,') == 4


def test_long_and_unreadable_sounds_are_refused(bundle, sound, monkeypatch):
  tagger = aec_jax.load(*bundle)
  monkeypatch.setattr(demo, 'MAX_SECONDS', 1)
  with pytest.raises(UserError, match='longer than 1 s'):
    demo.hear(tagger, sound)
  with open(sound, 'w') as file:
    file.write('no sound')
  with pytest.raises(UserError, match='the sound: is not readable') as error:
    demo.hear(tagger, sound)
  assert os.path.dirname(sound) not in str(error.value)


def test_the_server_is_local_limited_and_cleans_up(bundle, sound, tmp_path):
  import gradio_client

  tagger = aec_jax.load(*bundle)
  with demo.serving(tagger, '127.0.0.1', 0) as page:
    folder = os.environ['GRADIO_TEMP_DIR']
    assert page.local_url.startswith('http://127.0.0.1:')
    assert page.share_url is None and page.max_file_size == demo.MAX_BYTES
    assert not page.analytics_enabled
    client = gradio_client.Client(
      page.local_url, verbose=False, analytics_enabled=False
    )
    tags, picture = client.predict(
      gradio_client.handle_file(sound), api_name='/tag'
    )
    assert tags['label'] in tagger.classes and len(tags['confidences']) == 5
    assert 'data:image/png' in picture
    large = tmp_path / 'large.wav'
    soundfile.write(large, np.zeros(demo.MAX_BYTES // 2 + 9999), 44100)
    with pytest.raises(Exception, match=r'413|exceeds|large'):
      client.predict(gradio_client.handle_file(str(large)), api_name='/tag')
    with pytest.raises(UserError, match='--port is'):
      demo.serving(tagger, '127.0.0.1', page.server_port).__enter__()
    assert os.listdir(folder)
  assert not os.path.exists(folder)


def test_without_gradio_it_says_how_to_get_it(bundle, monkeypatch, capfd):
  monkeypatch.setitem(sys.modules, 'gradio', None)
  status = console.run_command(lambda: demo.main([f'--bundle={bundle[0]}']))
  out, err = capfd.readouterr()
  assert (status, out) == (2, '')
  assert err.count('\n') == 1 and "pip install '.[demo]'" in err
