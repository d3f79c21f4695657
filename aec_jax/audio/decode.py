"""Any file's sound, block by block, heard to its end.

Plain wav files are read by libsndfile, which is 10 times faster at that than
anything else; all others by FFmpeg, which hears what libsndfile leaves out: MP3
of variable rate, joined files, chained Ogg, streams of unknown length.
"""

import contextlib
import os
from collections.abc import Generator, Iterator

from aec_jax.audio import ffmpeg, file, kinds, riff
from aec_jax.audio.blocks import Run, cut, even, floats
from aec_jax.errors import PassingError, UserError, may_pass
from aec_jax.run import files

_BLOCK = 1 << 18  # samples that are held while a file is heard through
# Of wavs that libsndfile reads: formats and bits, and channels.
_USUAL = ((1, 8), riff.PCM16, (1, 24), (1, 32), (3, 32), (3, 64))
_CHANNELS = 64
# How files begin that FFmpeg refuses, or whose numbers it takes the wrong way
# round: big-endian wavs, AU of DEC, Ensoniq PARIS. And one that it refuses
# where sizes are 0, as of a recorder that died.
_FOR_LIBSNDFILE, _AIFF = (b'RIFX', b'dns.', b' paf', b'fap '), b'FORM'


def blocks(
  path: str | os.PathLike, size: int, notes: list[str] | None = None
) -> Generator[Run, None, None]:
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
    PassingError: the system can't read it now.
  """
  name = os.fspath(path)
  said = []
  try:
    if trouble := files.why_no_file(name):
      raise UserError(f'{name}: {trouble}')
    wav = riff.look(name)
    if wav and wav.note:
      said.append(wav.note)
    plain = None
    if wav and wav.plain and not wav.note:
      plain = _plain(name, wav.frames)
    if wav and plain:
      count = 0
      for samples, rate in _samples(plain, size, wav.kind == riff.PCM16):
        count += len(samples)
        yield samples, rate
      if count < wav.frames:  # it takes what the system refuses for the end
        _read_through(name)
      if wav.missing:
        heard = wav.seconds - wav.missing
        said.append(ffmpeg.cut_short(heard, wav.seconds))
    else:
      yield from cut(_others(name, wav, said), size)
  except ffmpeg.failures() as error:
    _let_pass(name, error)
    if _is_empty(name):
      raise UserError(f'{name}: is an empty file') from error
    raise UserError(
      f'{name}: is not readable as audio: {_reason(name, error)}'
    ) from error
  if notes is not None:
    notes.extend(note for note in said if note not in notes)


def _others(name, wav, said) -> Iterator[Run]:
  """What FFmpeg hears, or libsndfile where that knows better."""
  start = kinds.head_of(name, 4)
  if start in _FOR_LIBSNDFILE and (plain := _plain(name)):
    yield from _samples(plain, _BLOCK, False)
    return
  whole = ffmpeg.Container(name, wav, said)
  try:
    yield from even(whole, said)
  except ffmpeg.failures():
    other = None if whole.good or start != _AIFF else _plain(name)
    if other is None:
      raise
    said.append('its header is damaged: heard to its end')
    yield from _samples(other, _BLOCK, False)


def _let_pass(name, error) -> None:
  """Raises `PassingError` where the system and not the bytes is at fault."""
  import av

  # FFmpeg says "Input/output error" of bytes that it can't make out as well.
  if may_pass(error) and not isinstance(error, av.FFmpegError):
    raise PassingError.of(name, error.strerror) from error


def trouble_with(path: str) -> str:
  """Why a file cannot be heard; '' where it can.

  By its header, where it is a wav of a usual one; else by its first samples.

  Args:
    path: of a file that is there.

  Raises:
    PassingError: the system can't read it now.
  """
  try:
    if _is_usual(path):
      return ''
    with contextlib.closing(blocks(path, 1024)) as some:
      return '' if next(some, None) else 'no samples'
  except PassingError:
    raise
  except UserError as error:
    if isinstance(error.__cause__, ffmpeg.NoSound):
      return str(error.__cause__)
    if _is_empty(path):
      return 'empty'
    what = kinds.impostor(kinds.head_of(path)) or kinds.other(path)
    return 'unreadable header' if what in (None, kinds.TEXT) else what


def _is_empty(name) -> bool:
  try:
    return not os.path.getsize(name)
  except OSError:  # gone meanwhile
    return False


def _is_usual(path) -> bool:
  """Whether the header of a wav tells of samples that libsndfile reads."""
  try:
    wav = riff.look(path)
  except OSError:  # which reading it will tell
    return False
  return (
    wav is not None
    and wav.plain
    and wav.size is not None
    and wav.frames > 0
    and wav.kind in _USUAL
    and wav.channels <= _CHANNELS
    and wav.rate >= ffmpeg.MIN_RATE
  )


def seconds_of(path: str) -> float | None:
  """How long a file is by its header, about; None where that is unknown.

  Raises:
    PassingError: the system can't read it now.
  """
  import av

  try:
    if (seconds := _seconds_of_wav(path)) is not None:
      return seconds
    with file.opened(path) as source, ffmpeg.opened(source) as container:
      return container.duration and container.duration / av.time_base
  except ffmpeg.failures() as error:
    _let_pass(path, error)
    return None


def heard_seconds_of(path: str) -> float | None:
  """How long a file is: a plain wav by its header, others heard to the end.

  Returns:
    Seconds; None where nothing can be heard.

  Raises:
    PassingError: the system can't read it now.
  """
  try:
    if (seconds := _seconds_of_wav(path)) is not None:
      return seconds
    return sum(len(some) / rate for some, rate in blocks(path, _BLOCK))
  except PassingError:
    raise
  except UserError:
    return None
  except ffmpeg.failures() as error:
    _let_pass(path, error)
    return None


def _seconds_of_wav(path) -> float | None:
  """How much there is of a plain wav; None where only hearing it tells."""
  wav = riff.look(path)
  if not wav or not wav.plain or wav.size is None:
    return None
  return wav.seconds - wav.missing


def _reason(name, error) -> str:
  if isinstance(error, ffmpeg.NoSound):
    return str(error)
  what = kinds.impostor(kinds.head_of(name))
  if what:
    return f'it is {what}'
  if other := kinds.other(name):
    return other
  text = getattr(error, 'error_string', None) or getattr(
    error, 'strerror', None
  )
  text = ' '.join((text or str(error)).split()).rstrip('.')
  return f'{text}; if another program plays it, let that save it as wav'


def _plain(name, frames=None):
  """A file opened by libsndfile; None where it refuses it.

  Args:
    name: of the file.
    frames: that it must see in it: chunks in a wrong place mislead it.
  """
  import soundfile

  try:
    # As bytes, since it refuses names that aren't UTF-8.
    found = soundfile.SoundFile(os.fsencode(name))
  except soundfile.SoundFileError:
    return None
  if frames in (None, found.frames):
    return found
  found.close()
  return None


def _samples(plain, size, is_pcm16) -> Iterator[Run]:
  """The blocks of an open file of libsndfile's, which is closed then."""
  with plain:
    ffmpeg.check_rate(plain.samplerate)
    # libsndfile's own conversion to floats takes longer than its reading.
    dtype = 'int16' if is_pcm16 else 'float32'
    while len(samples := plain.read(size, dtype, always_2d=True)):
      yield floats(samples), plain.samplerate


def _read_through(name) -> None:
  """Raises `OSError` where the system refuses to read a file."""
  with open(name, 'rb', buffering=0) as source:
    while source.read(1 << 20):
      pass
