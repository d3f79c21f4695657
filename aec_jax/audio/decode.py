"""Any file's sound, block by block, heard to its end.

Plain wav files are read by libsndfile, which is 10 times faster at that than
anything else; all others by FFmpeg, which hears what libsndfile leaves out: MP3
of variable rate, joined files, chained Ogg, streams of unknown length.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator

import numpy as np

from aec_jax.audio import kinds, riff
from aec_jax.errors import UserError

# Hz. Of less no sound has been recorded, and a small file of 1 Hz would fill
# the memory at 16 kHz.
MIN_RATE = 100

# No demuxer that opens further files, follows links or draws text.
_DEMUXERS = ','.join(
  'aac ac3 aiff amr amrnb amrwb ape asf asf_o ast au avi avr bonk caf dsf dss'
  ' dts dtshd eac3 flac flv gsm iff ircam loas matroska webm mlp mov mp4 mp3'
  ' mpc mpc8 mpeg mpegts nistsphere nut ogg oma osq paf pvf qcp qoa rm sbc sds'
  ' shn sol sox tak truehd tta voc vqf w64 wav wsd wv wve xwma'.split()
)
_OPTIONS = {'format_whitelist': _DEMUXERS, 'protocol_whitelist': 'file'}
# FFmpeg decodes 5 MB of uncompressed sound only to guess what it is.
_UNCOMPRESSED = (b'RIFF', b'FORM', b'.snd', b'caff', b'riff')
_PROBE = {'probesize': '32768'}
# Whose headers count the samples, so that fewer are a file cut short.
_EXACT = ('flac', 'wav', 'aiff', 'w64', 'caf', 'au', 'tta', 'wv', 'ape')
_ABOUT = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm')
# Samples that are taken from FFmpeg's small frames at a time.
_TOGETHER = 1 << 16
# Errors of demuxing one after the other, after which a file is at its end.
_PATIENCE = 100

_FULL_SCALE = {
  np.dtype(np.uint8): 1 << 7,
  np.dtype(np.int16): 1 << 15,
  np.dtype(np.int32): 1 << 31,
  np.dtype(np.int64): 1 << 63,
}


def blocks(
  path: str | os.PathLike, size: int, notes: list[str] | None = None
) -> Iterator[tuple[np.ndarray, int]]:
  """Reads a file's samples block by block.

  Where the rate or the channels change on the way, all of it is resampled and
  mixed to those of the beginning.

  Args:
    path: of the file.
    size: samples of a block; -1 for all at once.
    notes: gets a line, without the path, for each oddity that was let pass: a
      file cut short, damaged, longer than it says, of changing rate.

  Yields:
    (sample, channel) float32 in the file's scale, integers of full scale in
    [-1, 1); all but the last of `size` samples, none empty; sample rate, Hz.

  Raises:
    UserError: the file is missing, empty or unreadable.
  """
  name = os.fspath(path)
  said = []
  try:
    if not os.path.isfile(name):
      raise UserError(f'{name}: no such file')
    if not os.path.getsize(name):
      raise UserError(f'{name}: is an empty file')
    wav = riff.look(name)
    if wav and wav.note:
      said.append(wav.note)
    if wav and wav.plain and wav.size is not None:
      yield from _plain(name, wav, size, said)
    else:
      yield from _cut(_even(_Container(name, wav, said), said), size)
  # TypeError is libsndfile's for a format that it can't tell.
  except (OSError, RuntimeError, TypeError, ValueError) as error:
    raise UserError(
      f'{name}: is not readable as audio: {_reason(name, error)}'
    ) from error
  if notes is not None:
    notes.extend(note for note in said if note not in notes)


def trouble_with(path: str) -> str:
  """Why a file cannot be heard, by its first samples; '' where it can."""
  try:
    with contextlib.closing(blocks(path, 1024)) as some:
      return '' if next(some, None) else 'no samples'
  except UserError as error:
    what = kinds.impostor(kinds.head_of(path))
    if what or isinstance(error.__cause__, _NoSound):
      return what or str(error.__cause__)
    return 'unreadable header'


def seconds_of(path: str) -> float | None:
  """How long a file is by its header, about; None where that is unknown."""
  import av

  try:
    wav = riff.look(path)
    if wav and wav.size is not None:
      return wav.seconds - wav.missing
    with _opened(path, {}) as container:
      return container.duration and container.duration / av.time_base
  except (OSError, RuntimeError, ValueError):
    return None


class _NoSound(ValueError):
  """A file that FFmpeg knows, without sound in it."""


def _reason(name, error) -> str:
  if isinstance(error, _NoSound):
    return str(error)
  what = kinds.impostor(kinds.head_of(name))
  if what:
    return f'it is {what}'
  ending = os.path.splitext(name)[1].lower()
  if ending in kinds.OTHERS:
    return kinds.OTHERS[ending]
  text = getattr(error, 'error_string', None) or getattr(
    error, 'strerror', None
  )
  text = ' '.join((text or str(error)).split()).rstrip('.')
  return f'{text}; if another program plays it, let that save it as wav'


def _plain(name, wav, size, said) -> Iterator[tuple[np.ndarray, int]]:
  """The blocks of a wav of PCM or floats."""
  import soundfile

  # As bytes, since it refuses names that aren't UTF-8.
  with soundfile.SoundFile(os.fsencode(name)) as file:
    _check_rate(file.samplerate)
    # libsndfile's own conversion to floats takes longer than its reading.
    is_pcm16 = file.subtype == 'PCM_16'
    dtype = 'int16' if is_pcm16 else 'float32'
    while len(samples := file.read(size, dtype, always_2d=True)):
      yield _floats(samples), file.samplerate
  if wav.missing:
    said.append(_cut_short(wav.seconds - wav.missing, wav.seconds))


def _cut_short(heard, expected) -> str:
  return (
    f'ends after {heard:.2f} s of the {expected:.2f} s that its header says'
  )


def _check_rate(rate):
  if rate < MIN_RATE:
    raise _NoSound(f'it has {rate} samples a second')


def _floats(samples: np.ndarray) -> np.ndarray:
  """Samples as float32, full-scale integers in [-1, 1)."""
  scale = _FULL_SCALE.get(samples.dtype)
  if scale is None:
    return samples.astype(np.float32, copy=False)
  if samples.dtype == np.uint8:
    samples = samples.astype(np.float32) - np.float32(scale)
  return samples * np.float32(1 / scale)


@contextlib.contextmanager
def _opened(name, options):
  """The container in a file; FFmpeg says nothing and opens nothing else."""
  import av

  av.logging.set_level(None)
  # A number has no name that FFmpeg could take for an address, and a file may
  # be called by any bytes.
  with open(os.open(name, os.O_RDONLY), 'rb', buffering=0) as file:
    if file.read(4) in _UNCOMPRESSED:
      options = {**_PROBE, **options}
    file.seek(0)
    with av.open(
      file, options={**_OPTIONS, **options}, metadata_errors='ignore'
    ) as container:
      yield container


class _Container:
  """An iterable of what FFmpeg decodes.

  Args:
    name: of the file.
    wav: what its header says, where it is a wav.
    said: gets the notes.
  """

  def __init__(self, name: str, wav: riff.Wav | None, said: list[str]):
    self.name, self.said = name, said
    # Of unknown length, a wav is all samples.
    self.options = {'ignore_length': '1'} if wav and wav.size is None else {}
    self.missing = wav.missing if wav else 0.0
    self.good = self.bad = 0

  def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
    """(sample, channel) of any kind of numbers, and Hz."""
    import av

    seconds = 0.0
    with _opened(self.name, self.options) as container:
      stream = self._stream(container)
      queue = av.AudioFifo()
      for frame in self._frames(container, stream):
        self.good += 1
        seconds += frame.samples / frame.sample_rate
        frame.pts = None  # else it refuses gaps
        if queue.samples >= _TOGETHER:
          yield _samples(queue)
        try:
          queue.write(frame)
        except ValueError:  # of another rate, kind or number of channels
          yield _samples(queue)
          queue = av.AudioFifo()
          queue.write(frame)
      if queue.samples:
        yield _samples(queue)
      self._judge(container, stream, seconds)

  def _stream(self, container):
    tracks = container.streams.audio
    if not tracks:
      what = 'it is a picture or a film' if container.streams.video else 'it'
      raise _NoSound(f'{what} has no sound track')
    if len(tracks) > 1:
      self.said.append(f'has {len(tracks)} sound tracks; the first is heard')
    # One thread: callers have many files to spread over the cores.
    tracks[0].codec_context.thread_count = 1
    return tracks[0]

  def _frames(self, container, stream):
    """All frames that can be decoded, past those that can't."""
    late = 0  # damaged pieces since the last good one
    for packet in self._packets(container, stream):
      try:
        frames = packet.decode()
      except (OSError, RuntimeError, ValueError):
        late += 1
        continue
      if frames:
        self.bad, late = self.bad + late, 0
      yield from frames
    # A tag at the end of an MP3 looks like a damaged piece of sound.
    if container.format.name != 'mp3' or not self.good:
      self.bad += late

  def _packets(self, container, stream):
    failures = 0
    while failures < _PATIENCE:
      try:
        for packet in container.demux(stream):
          failures = 0
          yield packet
        return
      except (OSError, RuntimeError, ValueError):
        failures += 1
        self.bad += failures == 1

  def _judge(self, container, stream, seconds):
    """Notes what is missing; raises for what was no sound at all."""
    if self.bad and self.bad >= self.good:
      raise ValueError(
        f'{self.bad} of its {self.bad + self.good} pieces are damaged'
      )
    if self.bad:
      self.said.append(f'{self.bad} damaged pieces are left out')
    kind = container.format.name
    expected = 0.0
    if self.missing:
      expected = seconds + self.missing
    elif stream.duration and not self.options and (
      kind in _EXACT + _ABOUT or (kind == 'mp3' and _counts_frames(self.name))
    ):
      expected = float(stream.duration * stream.time_base)
    slack = 1e-3 if kind in _EXACT else 0.15
    if seconds and expected - seconds > slack:
      self.said.append(_cut_short(seconds, expected))


def _counts_frames(name) -> bool:
  """Whether an MP3 begins with a frame that says how many there are."""
  head = kinds.head_of(name, 1 << 16)
  return any(word in head for word in (b'Xing', b'Info', b'VBRI'))


def _samples(queue) -> tuple[np.ndarray, int]:
  """All that a queue of frames holds, as (sample, channel), and Hz."""
  frame = queue.read(0, True)
  _check_rate(frame.sample_rate)
  samples = frame.to_ndarray()  # (channel, sample) or (1, sample · channel)
  if frame.format.is_planar:
    return samples.T, frame.sample_rate
  return samples.reshape(-1, frame.layout.nb_channels), frame.sample_rate


def _even(frames: Iterable, said) -> Iterator[tuple[np.ndarray, int]]:
  """Frames as floats of the first one's rate and number of channels."""
  import soxr

  first = now = stream = None
  for samples, rate in frames:
    samples, kind = _floats(samples), (samples.shape[1], rate)
    if kind != now:
      if now:
        said.append(_change(now, kind, first))
      first, now = first or kind, kind
      if stream:
        yield _end(stream, first), first[1]
      stream = rate != first[1] and soxr.ResampleStream(
        rate, first[1], first[0], 'float32', 'HQ'
      )
    if kind[0] != first[0]:
      samples = np.repeat(to_mono(samples)[:, None], first[0], 1)
    if stream:
      samples = stream.resample_chunk(np.ascontiguousarray(samples))
    yield samples.reshape(-1, first[0]), first[1]
  if stream:
    yield _end(stream, first), first[1]


def _end(stream, first) -> np.ndarray:
  """What a resampler still holds."""
  last = stream.resample_chunk(np.zeros((0, first[0]), np.float32), last=True)
  return last.reshape(-1, first[0])


def _change(before, after, first) -> str:
  (a, b), (c, d) = before, after
  return (
    f'changes from {a} channels of {b} Hz to {c} of {d} Hz; all is heard at'
    f' {first[1]} Hz'
  )


def _cut(frames: Iterable, size: int) -> Iterator[tuple[np.ndarray, int]]:
  """Frames of any length as blocks of one."""
  parts, count, rate = [], 0, 0
  for samples, rate in frames:  # noqa: B007
    parts.append(samples)
    count += len(samples)
    while 0 < size <= count:
      whole = np.concatenate(parts)
      yield whole[:size], rate
      parts, count = [whole[size:]], count - size
  if count:
    yield np.concatenate(parts), rate


def to_mono(samples: np.ndarray) -> np.ndarray:
  """(sample, channel) -> (sample,), float32, the mean of the channels."""
  count = samples.shape[1]
  if count == 1:
    return samples[:, 0]
  # Column by column: NumPy takes eight times as long over such short rows.
  total = samples[:, 0] + samples[:, 1]
  for i in range(2, count):
    total += samples[:, i]
  return total / np.float32(count)
