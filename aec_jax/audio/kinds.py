"""What kind of file something is, by its ending and by its first bytes."""

import os

# Of everything that is heard: FFmpeg's containers that hold sound.
EXTENSIONS = (
  '.wav', '.wave', '.bwf', '.rf64', '.bw64', '.w64', '.flac', '.ogg', '.oga',
  '.ogv', '.ogx', '.opus', '.spx', '.mp3', '.mp2', '.mp1', '.mpga', '.m2a',
  '.aac', '.adts', '.m4a', '.m4b', '.m4r', '.mp4', '.m4v', '.mov', '.3gp',
  '.3g2', '.3ga', '.mka', '.mkv', '.webm', '.aif', '.aiff', '.aifc', '.au',
  '.snd', '.caf', '.wma', '.asf', '.wmv', '.avi', '.flv', '.ac3', '.eac3',
  '.ec3', '.dts', '.amr', '.awb', '.ape', '.wv', '.tta', '.mpc', '.tak', '.shn',
  '.voc', '.sph', '.nist', '.ircam', '.dsf', '.gsm', '.qcp', '.ra', '.rm',
  '.oma', '.aa3', '.vqf', '.8svx', '.xwma', '.mpg', '.mpeg', '.mts', '.m2ts',
  '.qoa', '.thd', '.mlp', '.paf', '.avr', '.pvf', '.sds', '.nut', '.sf', '.sox',
  '.ast', '.m2t', '.mpegts', '.f4v', '.vob', '.ogm', '.3gpp', '.mp4a', '.mxf',
  '.wtv',
)  # fmt: skip

_RAW = (
  'it has no header: ffmpeg -f s16le -ar RATE -ac CHANNELS -i FILE out.wav'
  ' gives it one'
)
_NOTES = 'it holds notes, not sound: let a synthesizer save it as wav'
LOCKED = 'it is encrypted: let the program that plays it save a wav'
_BARE = (
  'what it holds is known by its ending alone: ffmpeg -i FILE out.wav makes a'
  ' wav of it'
)
_PROJECT = 'it is a project, not a sound: export it as wav'
# Of files that are called sound and cannot be heard: why.
_OTHERS = {
  '.raw': _RAW, '.pcm': _RAW, '.vox': _RAW, '.ul': _RAW, '.al': _RAW,
  '.adx': _BARE, '.sbc': _BARE, '.aptx': _BARE, '.g722': _BARE,
  '.rso': _BARE,
  '.mid': _NOTES, '.midi': _NOTES, '.kar': _NOTES, '.rmi': _NOTES,
  '.aax': LOCKED, '.m4p': LOCKED,
  '.aup': _PROJECT, '.aup3': _PROJECT,
  '.sd2': 'its header is in a resource fork: save it as wav or aiff',
  '.cda': 'it is a pointer to a track of a CD: copy the track itself',
}  # fmt: skip

# Endings of what is no sound, so that a walk need not look inside.
_SILENT = (
  '.txt', '.md', '.csv', '.tsv', '.json', '.jsonl', '.xml', '.html', '.yaml',
  '.yml', '.py', '.ipynb', '.toml', '.cfg', '.npy', '.npz', '.pt', '.pth',
  '.h5', '.hdf5', '.pkl', '.parquet', '.mat', '.tfrecord', '.png', '.jpg',
  '.jpeg', '.gif', '.svg', '.bmp', '.webp', '.pdf', '.doc', '.docx', '.zip',
  '.gz', '.tar', '.tgz', '.bz2', '.xz', '.7z', '.rar', '.log', '.lock', '.sha1',
  '.md5', '.textgrid', '.lab', '.rttm', '.eaf',
)  # fmt: skip

_SOUND = (
  (0, b'RIFF', 8, b'WAVE'), (0, b'RF64', 8, b'WAVE'), (0, b'BW64', 8, b'WAVE'),
  (0, b'RIFX', 8, b'WAVE'), (0, b'fLaC', 0, b''),
  (0, b'OggS', 0, b''), (0, b'ID3', 0, b''), (0, b'FORM', 8, b'AIF'),
  (0, b'caff', 0, b''), (0, b'.snd', 0, b''), (0, b'wvpk', 0, b''),
  (0, b'MAC ', 0, b''), (0, b'riff\x2e\x91', 0, b''), (0, b'#!AMR', 0, b''),
  # MP4 and QuickTime; pictures have other brands.
  (4, b'ftypM4', 0, b''), (4, b'ftypmp4', 0, b''), (4, b'ftypiso', 0, b''),
  (4, b'ftypqt', 0, b''), (4, b'ftyp3g', 0, b''), (4, b'ftypavc1', 0, b''),
  (4, b'ftypdash', 0, b''), (4, b'ftypf4v', 0, b''), (4, b'ftypMSNV', 0, b''),
  (4, b'moov', 0, b''), (4, b'mdat', 0, b''), (4, b'wide', 0, b''),
  # Matroska and WebM, ASF, FLV, MPEG transport streams.
  (0, b'\x1a\x45\xdf\xa3', 0, b''), (0, b'\x30\x26\xb2\x75', 0, b''),
  (0, b'FLV\1', 0, b''), (0, b'G', 188, b'G'),
  # AAC and MP3 that begin with a frame.
  (0, b'\xff\xf1', 0, b''), (0, b'\xff\xf9', 0, b''), (0, b'\xff\xfb', 0, b''),
  (0, b'\xff\xfa', 0, b''), (0, b'\xff\xf3', 0, b''), (0, b'\xff\xf2', 0, b''),
)  # fmt: skip

# What a file is that is called sound, by how it begins.
_STARTS = {
  b'version https://git-lfs': 'a Git LFS pointer: git lfs pull fetches the file'
  ' itself',
  b'MThd': 'MIDI, notes and no sound: let a synthesizer save it as wav',
  b'PK\x03\x04': 'a zip archive: unpack it',
  b'\x1f\x8b': 'a gzip archive: unpack it',
  b'7z\xbc\xaf': 'a 7z archive: unpack it',
  b'Rar!': 'a rar archive: unpack it',
  b'BZh': 'a bzip2 archive: unpack it',
  b'\x89PNG': 'a PNG picture',
  b'\xff\xd8\xff': 'a JPEG picture',
  b'GIF8': 'a GIF picture',
  b'%PDF': 'a PDF document',
  b'\x93NUMPY': 'a NumPy array: soundfile.write saves it as wav',
  b'SQLite format 3': 'a database or a project, not a sound: export it as wav',
}
TEXT = 'a text file'
_HTML = (b'<!doctype html', b'<html')


def impostor(head: bytes) -> str | None:
  """What a file is instead of a sound, and what to do; None if unknown.

  Args:
    head: its first bytes; a hundred tell.
  """
  for start, what in _STARTS.items():
    if head.startswith(start):
      return what
  if head.lstrip(b'\xef\xbb\xbf \t\r\n').lower().startswith(_HTML):
    return 'an HTML page, as sites send instead of a file: download it again'
  if head and not head.strip(b'\0'):
    return 'zeros where a header should be'
  if head and all(32 <= byte < 127 or byte in b'\t\r\n' for byte in head):
    return TEXT
  return None


def head_of(path: str, size: int = 256) -> bytes:
  """A file's first bytes; none where it cannot be read."""
  try:
    # A pipe would keep its reader waiting.
    if not os.path.isfile(path):
      return b''
    with open(path, 'rb') as file:
      return file.read(size)
  except (OSError, ValueError):
    return b''


def is_called_sound(path: str) -> bool:
  """Whether a file's ending is one of sound; of .ts, if it is no TypeScript."""
  name = path.lower()
  return name.endswith(EXTENSIONS) or (
    name.endswith('.ts') and _begins_as_sound(head_of(path))
  )


def why_not_heard(path: str) -> str:
  """What to say of a file that is not called sound.

  Returns:
    Why it cannot be heard, where it is called sound; that it is not called so,
    where it begins as sound does; '' for what is no sound.
  """
  if os.path.splitext(path)[1].lower() in _SILENT:
    return ''
  why = other(path)
  # Samples without a header may begin with any two bytes.
  least = 3 if why else 0
  if why != LOCKED and _begins_as_sound(head_of(path), least):
    return "looks like sound, but its name doesn't end so: rename it"
  return why or ''


def _begins_as_sound(head, least=0) -> bool:
  """Whether a file begins as sound does, by `least` bytes or more."""
  return any(
    head[i:].startswith(first) and head[j:].startswith(second)
    for i, first, j, second in _SOUND
    if len(first + second) >= least
  )


def other(path: str) -> str | None:
  """Why a file of such a name cannot be heard; None if the name doesn't say."""
  return _OTHERS.get(os.path.splitext(path)[1].lower())
