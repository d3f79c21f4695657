"""Embeddings read from TFRecords without TensorFlow."""

import numpy as np
import pytest

from aec_jax.datasets import audioset_tfrecord, tfrecord


def records(tmp_path):
  rng = np.random.default_rng(0)
  clips = [
    {
      'video_id': name,
      'start_time_seconds': 30.0,
      'end_time_seconds': 40.0,
      'labels': [3, 500],
      'audio_embedding': rng.integers(0, 256, (frames, 128), np.uint8),
    }
    for name, frames in ((b'-abc_DEF012', 10), (b'x', 1))
  ]
  path = str(tmp_path / 'a.tfrecord')
  audioset_tfrecord.write(clips, path)
  return clips, [payload for payload, _ in tfrecord.walk(path)]


def test_the_embeddings_are_those_that_were_written(tmp_path):
  clips, payloads = records(tmp_path)
  assert len(payloads) == 2
  for clip, payload in zip(clips, payloads, strict=True):
    name, frames = tfrecord.embeddings_of(payload)
    assert name.encode() == clip['video_id']
    found = np.stack([np.frombuffer(frame, np.uint8) for frame in frames])
    np.testing.assert_array_equal(found, clip['audio_embedding'])


def test_a_cut_message_is_refused_or_short_but_never_wrong(tmp_path):
  clips, (payload, _) = records(tmp_path)
  whole = [row.tobytes() for row in clips[0]['audio_embedding']]
  for size in range(0, len(payload) - 1, 7):
    try:
      _, frames = tfrecord.embeddings_of(payload[:size])
    except ValueError:
      continue
    assert frames == whole[: len(frames)]


@pytest.mark.parametrize('payload', [b'\xff' * 40, b'\x0b', b'\x0a\x7f'])
def test_no_message_is_an_error(payload):
  with pytest.raises(ValueError, match='SequenceExample'):
    tfrecord.embeddings_of(payload)
