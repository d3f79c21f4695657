"""What a wav file's header says, and whether that can be so."""

import os
from typing import BinaryIO, NamedTuple

# As a data size: not known. FFmpeg and SoX write such numbers into a pipe.
_UNKNOWN = 0x7FFFF000
_EXTENSIBLE = 0xFFFE  # as a format: another place says it
# Bytes behind the samples that are no chunk, and that nobody misses.
_CRUMBS = 64
_TAGS = (b'ID3', b'TAG', b'APETAGEX', b'LYRICS')
PCM16 = (1, 16)  # the usual `Wav.kind`
_FIRST = 1 << 12  # bytes of the samples that are looked at
# Those of RF64 have sizes of 64 bits in a chunk of their own.
_LONG = (b'RF64', b'BW64')
# What begins coded sound that is called PCM in stereo, as on a CD for decoders:
# S/PDIF, and DTS in 16 and 14 bits; AC-3 at the very beginning.
_CODED = (
  b'\x72\xf8\x1f\x4e', b'\xfe\x7f\x01\x80', b'\x7f\xfe\x80\x01',
  b'\xff\x1f\x00\xe8', b'\x1f\xff\xe8\x00',
)  # fmt: skip
_AC3 = (b'\x0b\x77', b'\x77\x0b')


class Wav(NamedTuple):
  """A wav file's samples.

  Attributes:
    plain: whether they are PCM or floats, and not coded sound that is called
      so; of these libsndfile hears all that the header tells of.
    size: their bytes by the header; None where it is wrong or doesn't know,
      and the samples go on to the file's end.
    missing: seconds of them that the file lacks.
    frames: of them that are there, where they are plain; a sample a channel.
    seconds: of them by the header; about, where they are not plain: such
      headers' bytes a second are often wrong.
    note: what is odd, '' if nothing.
    kind: the format, 1 for PCM and 3 for floats, and the bits of a sample.
    channels: how many.
    rate: Hz.
  """

  plain: bool
  size: int | None
  missing: float
  frames: int
  seconds: float
  note: str
  kind: tuple[int, int]
  channels: int
  rate: int


class Form(NamedTuple):
  """How the samples of a wav are written.

  Attributes:
    tag: 1 of PCM, 3 of floats.
    channels: of each frame.
    rate: frames a second, Hz.
    a_second: bytes a second, as it is written there.
    align: bytes of a frame.
    bits: of a sample.
  """

  tag: int
  channels: int
  rate: int
  a_second: int
  align: int
  bits: int


class Head(NamedTuple):
  """What stands before the samples.

  Attributes:
    kind: b'RIFF'; b'RF64' or b'BW64' of a wav that may pass 4 GB.
    form: of the samples.
    size: their bytes, as it is written there.
  """

  kind: bytes
  form: Form
  size: int

  @property
  def told(self) -> int | None:
    """The samples' bytes; None where whoever wrote it did not know."""
    if self.kind == b'RIFF':
      return told(self.size)
    return self.size if 0 < self.size < 1 << 63 else None


def told(size: int) -> int | None:
  """A size of 32 bits; None where whoever wrote it did not know."""
  return size if 0 < size < _UNKNOWN else None


def until_samples(file: BinaryIO) -> Head | None:
  """Reads a wav as far as its first sample.

  Args:
    file: at its beginning; it may be a pipe.

  Returns:
    None where it is no wav, or ends before that.
  """
  start = file.read(12)
  kind = start[:4]
  if kind not in (b'RIFF', *_LONG) or start[8:] != b'WAVE':
    return None
  body, long = b'', 0
  while True:
    name, length = file.read(4), file.read(4)
    if len(length) < 4:
      return None
    size = int.from_bytes(length, 'little')
    if name == b'data':
      size = long if kind in _LONG and size == 0xFFFFFFFF else size
      return Head(kind, _form(body), size) if len(body) >= 16 else None
    taken = b''
    if name in (b'fmt ', b'ds64'):
      taken = file.read(min(size, 64))
    if name == b'fmt ':
      body = taken
    elif name == b'ds64':
      long = int.from_bytes(taken[8:16], 'little')
    _pass_over(file, size - len(taken) + (size & 1))


def _form(body) -> Form:
  sizes = ((0, 2), (2, 4), (4, 8), (8, 12), (12, 14), (14, 16))
  numbers = [int.from_bytes(body[i:j], 'little') for i, j in sizes]
  if numbers[0] == _EXTENSIBLE and len(body) >= 26:
    numbers[0] = int.from_bytes(body[24:26], 'little')
  return Form(*numbers)


def _pass_over(file, size) -> None:
  if file.seekable():
    file.seek(size, 1)
    return
  while size and (some := file.read(min(size, 1 << 20))):
    size -= len(some)


def look(path: str) -> Wav | None:
  """The layout of a file, None where it is no wav of a usual header.

  Raises:
    OSError: it cannot be read.
  """
  with open(path, 'rb') as file:
    end = os.fstat(file.fileno()).st_size
    _pass_over_tag(file)
    found = until_samples(file)
    if found is None:
      return None
    wav = _layout(file, found, end)
    return wav if wav.note else wav._replace(note=_doubt(found.form))


def _doubt(form) -> str:
  """What to say of a header that fits no usual one."""
  fits = form.align == form.channels * -(-form.bits // 8)
  if form.tag != 1 or fits or not form.align:
    return ''
  return (
    f'its header says {form.align} bytes for {form.channels} samples of'
    f' {form.bits} bits: it may be heard wrongly'
  )


def _pass_over_tag(file) -> None:
  """Passes over an ID3 tag, which some programs put before anything."""
  head = file.read(10)
  size = 0
  for byte in head[6:]:
    size = size << 7 | byte & 0x7F
  file.seek(10 + size if head.startswith(b'ID3') else 0)


def _layout(file, head, end) -> Wav:
  form, size = head.form, head.size
  align, bits = form.align, form.bits
  about = (form.tag, bits), form.channels, form.rate
  plain = (
    form.tag in (1, 3)
    and bits in (8, 16, 24, 32, 64)
    and form.channels > 0
    and align == form.channels * bits // 8
    and not (about[:2] == (PCM16, 2) and _is_coded(file))
  )
  # The header's bytes a second may be wrong: libsndfile doesn't go by them.
  a_second = (plain and align * form.rate) or form.a_second or 1
  start = file.tell()
  there = end - start
  if size > there:
    if head.told is None:
      note = 'its header does not say how long it is: heard to its end'
      return Wav(plain, None, 0.0, 0, 0.0, note, *about)
    seconds = size / a_second
    missing = (size - there) / a_second if size - there >= align else 0.0
    return Wav(plain, size, missing, there // (align or 1), seconds, '', *about)
  file.seek(start + size + (size & 1))
  behind = _behind(file, end)
  if behind is None:
    said = f'{size / a_second:.2f} s' if plain else f'{size:,} bytes'
    note = f'its header says {said}, but there is more: heard to its end'
    if not size:
      note = 'its header says that it is empty, but it is not: heard to its end'
    return Wav(plain, None, 0.0, 0, 0.0, note, *about)
  seconds = size / a_second
  return Wav(plain, size, 0.0, size // (align or 1), seconds, behind, *about)


def _is_coded(file) -> bool:
  """Whether samples begin as something coded does; FFmpeg then knows more."""
  start = file.tell()
  first = file.read(_FIRST)
  file.seek(start)
  return first.startswith(_AC3) or any(word in first for word in _CODED)


def _behind(file, end) -> str | None:
  """What to say of the bytes after the samples; None if they are samples."""
  while (left := end - file.tell()) > _CRUMBS:
    start = file.tell()
    head = file.read(8)
    size = int.from_bytes(head[4:], 'little')
    if head[:4] == b'RIFF':
      return f'another wav of {left:,} bytes follows in it and is not heard'
    if head[:4] == b'data':
      more = min(size, left - 8)
      return f'a second chunk of samples, {more:,} bytes, is not heard'
    if head.startswith(_TAGS):
      return ''
    if not all(32 <= byte < 127 for byte in head[:4]) or size > left - 8:
      file.seek(start)
      return '' if _all_zero(file) else None
    file.seek(size + (size & 1), 1)
  return ''


def _all_zero(file) -> bool:
  while part := file.read(1 << 20):
    if part.strip(b'\0'):
      return False
  return True
