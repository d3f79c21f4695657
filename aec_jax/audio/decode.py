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
    _check_there(name)
    wav = riff.look(name)
    if wav and wav.note:
      said.append(wav.note)
    plain = _plain(name) if wav and wav.plain and not wav.note else None
    if wav and plain:
      count = 0
      for samples, rate in _samples(plain, size):
        count += len(samples)
        yield samples, rate
      if count < wav.frames:  # it takes what the system refuses for the end
        _read_through(name)
      if wav.missing:
        heard = wav.seconds - wav.missing
        said.append(ffmpeg.cut_short(heard, wav.seconds))
    else:
      yield from cut(even(ffmpeg.Container(name, wav, said), said), size)
  except ffmpeg.failures() as error:
    _let_pass(name, error)
    raise UserError(
      f'{name}: is not readable as audio: {_reason(name, error)}'
    ) from error
  if notes is not None:
    notes.extend(note for note in said if note not in notes)


def _check_there(name) -> None:
  """Raises `UserError` for what is no file with something in it."""
  if trouble := files.why_no_file(name):
    raise UserError(f'{name}: {trouble}')
  if not os.path.getsize(name):
    raise UserError(f'{name}: is an empty file')


def _let_pass(name, error) -> None:
  """Raises `PassingError` where the system and not the bytes is at fault."""
  import av

  # FFmpeg says "Input/output error" of bytes that it can't make out as well.
  if may_pass(error) and not isinstance(error, av.FFmpegError):
    raise PassingError.of(name, error.strerror) from error


def trouble_with(path: str) -> str:
  """Why a file cannot be heard, by its first samples; '' where it can.

  Raises:
    PassingError: the system can't read it now.
  """
  try:
    with contextlib.closing(blocks(path, 1024)) as some:
      return '' if next(some, None) else 'no samples'
  except PassingError:
    raise
  except UserError as error:
    if isinstance(error.__cause__, ffmpeg.NoSound):
      return str(error.__cause__)
    what = kinds.impostor(kinds.head_of(path))
    return 'unreadable header' if what in (None, kinds.TEXT) else what


def seconds_of(path: str) -> float | None:
  """How long a file is by its header, about; None where that is unknown.

  Raises:
    PassingError: the system can't read it now.
  """
  import av

  try:
    wav = riff.look(path)
    if wav and wav.size is not None:
      return wav.seconds - wav.missing
    with file.opened(path) as source, ffmpeg.opened(source) as container:
      return container.duration and container.duration / av.time_base
  except ffmpeg.failures() as error:
    _let_pass(path, error)
    return None


def _reason(name, error) -> str:
  if isinstance(error, ffmpeg.NoSound):
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


def _plain(name):
  """A wav of PCM or floats, opened; None where libsndfile refuses it."""
  import soundfile

  try:
    # As bytes, since it refuses names that aren't UTF-8.
    return soundfile.SoundFile(os.fsencode(name))
  except soundfile.SoundFileError:
    return None


def _samples(plain, size) -> Iterator[Run]:
  """The blocks of an open file of libsndfile's, which is closed then."""
  with plain:
    ffmpeg.check_rate(plain.samplerate)
    # libsndfile's own conversion to floats takes longer than its reading.
    is_pcm16 = plain.subtype == 'PCM_16'
    dtype = 'int16' if is_pcm16 else 'float32'
    while len(samples := plain.read(size, dtype, always_2d=True)):
      yield floats(samples), plain.samplerate


def _read_through(name) -> None:
  """Raises `OSError` where the system refuses to read a file."""
  with open(name, 'rb', buffering=0) as source:
    while source.read(1 << 20):
      pass
