"""Sounds of every kind, written for tests; by libsndfile or by FFmpeg."""

import io
import struct
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile


def sound(seconds: float, rate: int, channels: int = 1, seed: int = 0):
  """A sweep and bursts of noise, (sample, channel) float32, peak under 0.6."""
  rng = np.random.default_rng(seed)
  t = np.arange(round(seconds * rate)) / rate
  top = min(3000, rate / 3)
  sweep = np.sin(2 * np.pi * (200 * t + (top - 200) * t**2 / (2 * seconds)))
  out = np.empty((len(t), channels), np.float32)
  for i in range(channels):
    bursts = rng.uniform(-0.1, 0.1, len(t)) * (np.sin(9 * t + i + seed) > 0)
    out[:, i] = (0.35 + 0.05 * i) * sweep * (1 + 0.2 * np.sin(5 * t)) + bursts
  return np.clip(out, -0.6, 0.6)


def libsndfile(samples, rate: int, kind: str, subtype: str = 'PCM_16') -> bytes:
  """A file of (sample, channel) as bytes."""
  out = io.BytesIO()
  soundfile.write(out, samples, rate, format=kind, subtype=subtype)
  return out.getvalue()


def ffmpeg(
  samples: np.ndarray,
  rate: int,
  container: str,
  codec: str,
  bit_rate: int | None = None,
  of_container: dict | None = None,
  of_codec: dict | None = None,
) -> bytes:
  """A file of (sample, channel) as bytes, by FFmpeg's encoders."""
  layout = {1: 'mono', 2: 'stereo', 6: '5.1'}[samples.shape[1]]
  # In a file of its own, for some containers are read again while written.
  with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, 'sound')
    _encode(path, samples, rate, layout, container, codec, bit_rate,
            of_container or {}, of_codec or {})  # fmt: skip
    return path.read_bytes()


def _encode(
  path, samples, rate, layout, container, codec, bit_rate, options, of_codec
):
  with av.open(str(path), 'w', format=container, options=options) as file:
    # FFmpeg's Vorbis encoder asks for it.
    experimental = {'strict': 'experimental', **of_codec}
    stream = file.add_stream(codec, rate=rate, options=experimental)
    stream.codec_context.layout = layout
    if bit_rate:
      stream.bit_rate = bit_rate
    turned = av.AudioResampler(stream.format, layout, rate)
    data = np.ascontiguousarray(samples.reshape(1, -1), np.float32)
    frame = av.AudioFrame.from_ndarray(data, 'flt', layout)
    frame.sample_rate = rate
    size = stream.codec_context.frame_size or 1024
    queue = av.AudioFifo()
    for part in [*turned.resample(frame), *turned.resample(None)]:
      part.pts = None
      queue.write(part)
    position = 0
    while queue.samples:
      part = queue.read(size, partial=True)
      part.pts, part.time_base = position, Fraction(1, rate)
      position += part.samples
      file.mux(stream.encode(part))
    file.mux(stream.encode(None))


def mp3(samples, rate: int, bit_rate: int = 64_000, xing: bool = False, **of):
  """An MP3 without tags; with `xing` its first frame counts the others."""
  container = {'write_xing': str(int(xing)), 'id3v2_version': '0'}
  return ffmpeg(samples, rate, 'mp3', 'libmp3lame', bit_rate, container, of)


def flac_of_unknown_length(data: bytes) -> bytes:
  """A FLAC as a pipe writes it: sizes, number of samples, MD5 are zeros."""
  out = bytearray(data)
  out[12:18] = bytes(6)  # smallest and largest frame
  out[21] &= 0xF0
  out[22:42] = bytes(20)
  return bytes(out)


def wav_size(data: bytes, size: int) -> bytes:
  """A wav of libsndfile's with another size of its samples."""
  place = data.index(b'data') + 4
  return data[:place] + struct.pack('<I', size) + data[place + 4 :]


def damaged(data: bytes, first: float = 0.5, count: int = 40) -> bytes:
  """Bytes of a file overwritten from some share of it on."""
  place = int(first * len(data))
  noise = np.random.default_rng(1).integers(0, 256, count, np.uint8).tobytes()
  return data[:place] + noise + data[place + count :]


def zeroed(data: bytes, first: float = 1 / 3, last: float = 1 / 2) -> bytes:
  """Zeros from one share of a file to another."""
  start, stop = (int(share * len(data)) for share in (first, last))
  return data[:start] + bytes(stop - start) + data[stop:]


def in_two_chunks(data: bytes) -> bytes:
  """A wav of libsndfile's whose samples lie in two chunks, half in each."""
  head = data[: data.index(b'data')]
  samples = data[len(head) + 8 :]
  half = len(samples) // 8 * 4
  chunks = [
    b'data' + struct.pack('<I', len(part)) + part
    for part in (samples[:half], samples[half:])
  ]
  return head + b''.join(chunks)


def cut(data: bytes, share: float = 0.6) -> bytes:
  """The beginning of a file."""
  return data[: int(share * len(data))]


def place(folder: Path, files: dict[str, bytes]) -> None:
  """Writes files by their names."""
  folder.mkdir(parents=True, exist_ok=True)
  for name, data in files.items():
    (folder / name).write_bytes(data)
