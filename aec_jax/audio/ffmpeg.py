"""What FFmpeg decodes of a file: all that can be, to its end."""

import contextlib
import functools
from collections.abc import Iterator

from aec_jax.audio import file, kinds, ogg, riff
from aec_jax.audio.blocks import Run

# Hz. Of less no sound has been recorded, and a small file of 1 Hz would fill
# the memory at 16 kHz.
MIN_RATE = 100

# No demuxer that opens further files, follows links or draws text.
_DEMUXERS = (
  'aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,asf_o,ast,au,avi,avr,bonk,caf,dsf,dss,'
  'dts,dtshd,eac3,flac,flv,gsm,iff,ircam,loas,matroska,webm,mlp,mov,mp4,mp3,'
  'mpc,mpc8,mpeg,mpegts,nistsphere,nut,ogg,oma,osq,paf,pvf,qcp,qoa,rm,sbc,sds,'
  'shn,sol,sox,tak,truehd,tta,voc,vqf,w64,wav,wsd,wv,wve,xwma'
)
_OPTIONS = {'format_whitelist': _DEMUXERS, 'protocol_whitelist': 'file'}
# FFmpeg decodes 5 MB of uncompressed sound only to guess what it is.
_UNCOMPRESSED = (b'RIFF', b'FORM', b'.snd', b'caff', b'riff')
_PROBE = {'probesize': '32768'}
# Whose headers count the samples, so that fewer are a file cut short.
_EXACT = ('flac', 'wav', 'aiff', 'w64', 'caf', 'au', 'tta', 'wv', 'ape')
_ABOUT = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm')
# Samples of its small frames that are taken from FFmpeg at a time.
_TOGETHER = 1 << 18
# Errors of demuxing one after the other, after which a file is at its end.
_PATIENCE = 100


class NoSound(ValueError):
  """A file that FFmpeg knows, without sound in it."""


@functools.cache
def failures() -> tuple[type[Exception], ...]:
  """What the decoders raise of a file that they cannot read."""
  import av

  # TypeError is libsndfile's for a format that it can't tell.
  return av.FFmpegError, OSError, RuntimeError, TypeError, ValueError


@contextlib.contextmanager
def opened(source, options: dict | None = None):
  """FFmpeg's container in a file object; it says and opens nothing else."""
  import av

  av.logging.set_level(None)
  with av.open(
    source, options={**_OPTIONS, **(options or {})}, metadata_errors='ignore'
  ) as container:
    yield container


class Container:
  """An iterable of what FFmpeg decodes.

  Args:
    name: of the file.
    wav: what its header says, where it is a wav.
    said: gets the notes.
  """

  def __init__(self, name: str, wav: riff.Wav | None, said: list[str]) -> None:
    self.name, self.said, self.wav = name, said, wav
    self.good = self.bad = 0
    self.seconds = 0.0

  def __iter__(self) -> Iterator[Run]:
    """(sample, channel) of any kind of numbers, and Hz."""
    with file.opened(self.name) as source:
      start = source.read(4)
      source.seek(0)
      if start == ogg.CAPTURE:
        yield from self._links(source)
        expected = None
      else:
        with opened(source, self._options(start)) as container:
          stream = self._stream(container)
          yield from self._runs(container, stream)
          expected = self._expected(container, stream)
    self._judge(expected)

  def _options(self, start) -> dict:
    """What FFmpeg has to be told of a file that begins so."""
    options = _PROBE if start in _UNCOMPRESSED else {}
    if self.wav and self.wav.size is None:  # all that follows is samples
      options = {**options, 'ignore_length': '1'}
    return options

  def _links(self, source):
    """The streams of an Ogg file, one after the other.

    FFmpeg goes on by itself only where the next one is of the same form.
    """
    for link in ogg.links(source):
      try:
        with opened(link) as container:
          yield from self._runs(container, self._stream(container))
      except failures():
        if not self.good:
          raise
        self.bad += 1

  def _runs(self, container, stream):
    """The frames of one stream, many together."""
    import av

    queue, now = av.AudioFifo(), None
    for frame in self._frames(container, stream):
      kind = frame.sample_rate, frame.layout.nb_channels, frame.format.name
      # A queue doesn't see that the channels change, and reads past them.
      if kind != now:
        if queue.samples:
          yield _samples(queue)
        queue, now = av.AudioFifo(), kind
      frame.pts = None  # else it refuses gaps
      queue.write(frame)
      self.good += 1
      self.seconds += frame.samples / frame.sample_rate
      if queue.samples >= _TOGETHER:
        yield _samples(queue)  # which leaves it empty, with room for as much
    if queue.samples:
      yield _samples(queue)

  def _stream(self, container):
    tracks = container.streams.audio
    if not tracks:
      what = 'it is a picture or a film' if container.streams.video else 'it'
      raise NoSound(f'{what} has no sound track')
    if len(tracks) > 1:
      self.said.append(f'has {len(tracks)} sound tracks; the first is heard')
    if tracks[0].codec_context is None:
      raise NoSound('its codec is one that FFmpeg does not know')
    # One thread: callers have many files to spread over the cores.
    tracks[0].codec_context.thread_count = 1
    return tracks[0]

  def _frames(self, container, stream):
    """All frames that can be decoded, past those that can't."""
    late = 0  # damaged pieces since the last good one
    for packet in self._packets(container, stream):
      try:
        frames = packet.decode()
      except failures():
        late += 1
        continue
      if frames:
        self.bad, late = self.bad + late, 0
      yield from frames
    # A tag at the end of an MP3 looks like a damaged piece of sound.
    if container.format.name != 'mp3' or not self.good:
      self.bad += late

  def _packets(self, container, stream):
    tries = 0
    while tries < _PATIENCE:
      try:
        for packet in container.demux(stream):
          tries = 0
          yield packet
        return
      except failures():
        tries += 1
        self.bad += tries == 1

  def _expected(self, container, stream) -> tuple[float, float] | None:
    """Seconds by the header, and how exactly; None where it doesn't know."""
    if self.wav:
      return (self.wav.seconds, 0.05) if self.wav.size else None
    kind = container.format.name
    if not stream.duration:
      return None
    seconds = float(stream.duration * stream.time_base)
    if kind in _EXACT:
      return seconds, 1e-3
    known = kind in _ABOUT or (kind == 'mp3' and _counts_frames(self.name))
    return (seconds, 0.15) if known else None

  def _judge(self, expected):
    """Notes what is missing; raises for what was no sound at all."""
    if self.bad > self.good:
      raise ValueError(
        f'{self.bad} of its {self.bad + self.good} pieces are damaged'
      )
    if self.bad:
      self.said.append(f'{self.bad} damaged pieces are left out')
    if expected and self.seconds:
      seconds, slack = expected
      if seconds - self.seconds > slack:
        self.said.append(cut_short(self.seconds, seconds))
      elif self.seconds - seconds > slack:
        self.said.append(
          f'goes on after the {seconds:.2f} s that its header says: heard to'
          ' its end'
        )


def _counts_frames(name) -> bool:
  """Whether an MP3 begins with a frame that says how many there are."""
  head = kinds.head_of(name, 1 << 16)
  return any(word in head for word in (b'Xing', b'Info', b'VBRI'))


def _samples(queue) -> Run:
  """All that a queue of frames holds, as (sample, channel), and Hz."""
  frame = queue.read(0, True)
  check_rate(frame.sample_rate)
  samples = frame.to_ndarray()  # (channel, sample) or (1, sample · channel)
  if frame.format.is_planar:
    return samples.T, frame.sample_rate
  return samples.reshape(-1, frame.layout.nb_channels), frame.sample_rate


def check_rate(rate: int) -> None:
  """Raises `NoSound` for a rate that is none."""
  if rate < MIN_RATE:
    raise NoSound(f'it has {rate} samples a second')


def cut_short(heard: float, expected: float) -> str:
  """What to say of a file that ends too soon; seconds."""
  return (
    f'ends after {heard:.2f} s of the {expected:.2f} s that its header says'
  )
