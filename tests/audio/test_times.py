"""Sound that is missing by its times is told from times that are odd."""

import io

import numpy as np
import pytest

from aec_jax.audio import times
from tests.audio.hearing import heard

FRAME = 0.02
RNG = np.random.default_rng(0)
EVEN = np.arange(1000) * FRAME
JITTER = RNG.uniform(-0.03, 0.03, 1000)


def found(frames, seconds=FRAME):
  """Gaps and seconds missing of frames that begin at some times."""
  one = times.Times()
  for time in frames:
    one.follow(time, seconds)
  one.end()
  return one.gaps, pytest.approx(one.missed, abs=0.065)


def late(frames, first, seconds):
  return np.where(np.arange(len(frames)) >= first, frames + seconds, frames)


@pytest.mark.parametrize(
  'frames',
  [
    EVEN,
    EVEN + 100,
    EVEN + JITTER,
    EVEN + 3 * JITTER,
    np.round(1.0005 * EVEN, 3),
    EVEN * 0.99,
    np.where(np.arange(1000) == 300, EVEN + 2, EVEN),  # one is wrong
    np.where(EVEN < 9, EVEN + 7, EVEN - 9),  # counted anew
    [None, *EVEN],
    [],
  ],
)
def test_nothing_is_missing(frames):
  assert found(frames) == (0, 0)


@pytest.mark.parametrize(
  ('frames', 'expected'),
  [
    (late(EVEN, 500, 1), (1, 1)),
    (late(EVEN, 998, 1), (1, 1)),
    (late(late(EVEN + JITTER, 200, 0.4), 700, 2), (2, 2.4)),
    (late(1.0005 * EVEN, 900, 0.3), (1, 0.3)),
    (np.concatenate([late(EVEN, 10, 3), late(EVEN, 500, 1)]), (2, 4)),
    (late(EVEN, 999, FRAME), (0, 0)),
  ],
)
def test_what_is_missing_is_counted(frames, expected):
  assert found(frames) == expected


def test_packets_that_never_came_add_up():
  came = EVEN[RNG.random(1000) > 0.05]
  gaps, missed = found(came)
  assert gaps and 0 < (1000 - len(came)) * FRAME == missed


def test_what_is_known_to_be_missing_is_forgiven():
  one = times.Times()
  one.follow(0.0, 1.0)
  one.forgive(None)
  one.follow(3.0, 1.0)
  one.forgive(0.5)
  one.follow(5.0, 1.0)
  one.end()
  assert (one.start, one.due, one.gaps, one.missed) == (0.0, 6.0, 1, 0.5)


def opus(container, moved):
  """10 s of Opus whose packets have other times."""
  import av

  out = io.BytesIO()
  with av.open(out, 'w', format=container) as file:
    stream = file.add_stream('libopus', rate=48000, options={})
    stream.codec_context.layout = 'mono'
    last = -1
    for k in range(501):
      x = 0.2 * np.sin(np.arange(960) * 0.05).astype(np.float32)[None]
      frame = av.AudioFrame.from_ndarray(x, 'flt', 'mono')
      frame.sample_rate, frame.pts = 48000, 960 * k
      for packet in stream.encode(frame if k < 500 else None):
        seconds = float(packet.pts * packet.time_base)
        last = max(last + 1, round(moved(seconds) / float(packet.time_base)))
        packet.pts = packet.dts = last
        file.mux(packet)
  return out.getvalue()


@pytest.mark.parametrize(
  ('container', 'moved', 'note'),
  [
    ('webm', lambda t: t + 0.02 * np.sin(99 * t), None),
    ('webm', lambda t: t + 100, None),
    ('webm', lambda t: t + 2 * (t > 5), 'by its times 2.00 s are missing'),
    ('ogg', lambda t: t + 100, 'its times begin at 100.00 s: what was before'),
    ('ogg', lambda t: t + 2 * (t > 5), 'by its times 2.00 s are missing'),
  ],
)
def test_times_of_files(tmp_path, container, moved, note):
  samples, rate, notes = heard(
    tmp_path, f'a.{container}', opus(container, moved)
  )
  assert len(samples) / rate == pytest.approx(10, abs=0.03)
  assert [said.startswith(note or '-') for said in notes] == [True] * bool(note)
