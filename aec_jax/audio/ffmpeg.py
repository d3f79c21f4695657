"""What FFmpeg decodes of a file: all that can be, to its end."""

import contextlib
import functools
import re
from collections.abc import Iterator

from aec_jax.audio import chunks, file, kinds, ogg, riff
from aec_jax.audio.blocks import Run
from aec_jax.audio.times import Times

# Hz. Of less no sound has been recorded, and a small file of 1 Hz would fill
# the memory at 16 kHz.
MIN_RATE = 100

# No demuxer that opens further files, follows links or draws text.
_DEMUXERS = (
  'aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,asf_o,ast,au,avi,avr,bonk,caf,dsf,dss,'
  'dts,dtshd,eac3,flac,flv,gsm,iff,ircam,loas,matroska,webm,mlp,mov,mp4,mp3,'
  'mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,ogg,oma,osq,paf,pvf,qcp,qoa,rm,sbc,'
  'sds,shn,sol,sox,tak,truehd,tta,voc,vqf,w64,wav,wsd,wtv,wv,wve,xwma'
)
_OPTIONS = {'format_whitelist': _DEMUXERS, 'protocol_whitelist': 'file'}
# FFmpeg decodes 5 MB of uncompressed sound only to guess what it is.
_UNCOMPRESSED = (b'RIFF', b'FORM', b'.snd', b'caff', b'riff')
_PROBE = {'probesize': '32768'}
# Whose headers count the samples, so that fewer are a file cut short; these and
# those of PCM only.
_EXACT = ('flac', 'tta', 'wv', 'ape')
_EXACT_PCM = ('wav', 'aiff', 'w64', 'caf', 'au', 'nistsphere')
# Those of whole files, of which sound may be the shortest stream.
_WHOLE = ('matroska,webm', 'flv')
_MP4 = 'mov,mp4,m4a,3gp,3g2,mj2'
_ABOUT = (_MP4, 'mxf', *_WHOLE)
# Whose packets are numbered from 0 on, but in what was cut out of something.
_NUMBERED = ('ogg', 'flac')
# By which a length by bytes may be wrong.
_SLACK = 0.05
# And any other length.
_ENOUGH = 0.15
# Bytes of the largest piece; a larger one is followed by damage.
_LARGEST = {'mp3': 1728, 'ac3': 3840, 'eac3': 4096}
# What FFmpeg writes into Matroska's tags of a stream.
_DURATION = re.compile(r'(\d+):(\d+):([\d.]+)')
_OPUS = b'OpusHead'
_NO_ARRAYS = ('s64', 's64p')  # kinds of numbers
# Planes from which on PyAV reads past the last one.
_MANY = 8
# What is written of an encrypted stream of MP4, which decodes to noise.
_LOCKED = ('drms', 'enca')
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

  Attributes:
    good, bad: pieces that were decoded, and that could not be.
    seconds: that were heard.
    gaps, missed: places where sound is missing, and seconds of it.
    before: seconds that a stream's times begin at, where that should be 0.
    times: of the stream that is heard.
  """

  def __init__(self, name: str, wav: riff.Wav | None, said: list[str]) -> None:
    self.name, self.said, self.wav = name, said, wav
    self.good = self.bad = self.gaps = 0
    self.seconds = self.missed = self.before = 0.0
    self.times = Times()

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
          is_mp4 = container.format.name == _MP4
          if is_mp4 and chunks.has_second_movie(source):
            self._say('another MP4 follows in it and is not heard')
          whole = self.seconds / chunks.part_there(source)
          is_known = self.wav is not None and self.wav.plain
          if whole > self.seconds + _SLACK and not is_known:
            expected = whole, _SLACK
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
          stream = self._stream(container)
          yield from self._runs(container, stream)
          self._judge_link(link, stream)
      except failures():
        if not self.good:
          raise
        self.bad += 1

  def _judge_link(self, link, stream) -> None:
    """Looks for the last page of a link that was heard."""
    link.find_end()
    if link.unended > 0:
      self._say('has no mark of its end: it was cut short, or never finished')
    elif link.streams == 1 and self.times.due is not None:
      head = stream.codec_context.extradata or b''
      early = 0  # that Opus counts before its beginning, at 48 kHz
      if head.startswith(_OPUS):
        early = int.from_bytes(head[10:12], 'little')
      end = float((link.last - early) * stream.time_base)
      missed = end - self.times.due
      if missed > _ENOUGH:
        self.gaps, self.missed = self.gaps + 1, self.missed + missed

  def _say(self, note) -> None:
    """Of a chain, what is so of several links is said once."""
    if note not in self.said:
      self.said.append(note)

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
    with contextlib.suppress(UnicodeDecodeError):  # some tags are numbers
      if tracks[0].codec_context.codec_tag in _LOCKED:
        raise NoSound(kinds.LOCKED)
    # One thread: callers have many files to spread over the cores.
    tracks[0].codec_context.thread_count = 1
    return tracks[0]

  def _frames(self, container, stream):
    """All frames that can be decoded, past those that can't."""
    kind = container.format.name
    late = 0  # damaged pieces since the last good one
    times = self.times = Times()
    for packet in self._packets(container, stream):
      try:
        frames = packet.decode()
      except failures():
        late += 1
        length = packet.duration and float(packet.duration * packet.time_base)
        times.forgive(length or None)
        continue
      if frames:
        self.bad, late = self.bad + late, 0
      for frame in frames:
        time = None if frame.pts is None else frame.time
        times.follow(time, frame.samples / frame.sample_rate)
        yield frame
      late += packet.size > _LARGEST.get(kind, packet.size)
    # A tag at the end of an MP3 looks like a damaged piece of sound.
    if kind != 'mp3' or not self.good:
      self.bad += late
    times.end()
    self.gaps, self.missed = self.gaps + times.gaps, self.missed + times.missed
    if kind in _NUMBERED and (before := times.start or 0.0) > _ENOUGH:
      self.before += before
      said = f'its times begin at {before:.2f} s'
      self._say(f'{said}: what was before is not in it')

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
      known = self.wav.plain and self.wav.size
      return (self.wav.seconds, _SLACK) if known else None
    kind = container.format.name
    seconds = _seconds(container, stream)
    if not seconds:
      return None
    is_pcm = stream.codec_context.name.startswith('pcm_')
    if kind in _EXACT or (is_pcm and kind in _EXACT_PCM):
      return seconds, 1e-3
    known = kind in _ABOUT or (kind == 'mp3' and _counts_frames(self.name))
    if kind in _WHOLE:  # which say no more than when it ends at the latest
      seconds = max(seconds, self.seconds)
    return (seconds, _ENOUGH) if known else None

  def _judge(self, expected):
    """Notes what is missing; raises for what was no sound at all."""
    if self.bad > self.good:
      raise ValueError(
        f'{self.bad} of its {self.bad + self.good} pieces are damaged'
      )
    if self.bad:
      pieces = 'piece is' if self.bad == 1 else 'pieces are'
      self.said.append(f'{self.bad} damaged {pieces} left out')
    if self.gaps:
      places = '1 place' if self.gaps == 1 else f'{self.gaps} places'
      self.said.append(
        f'by its times {self.missed:.2f} s are missing, in {places}'
      )
    if expected and self.seconds:
      seconds, slack = expected
      if seconds - self.seconds - self.missed - self.before > slack:
        self.said.append(cut_short(self.seconds, seconds))
      elif self.seconds - seconds > slack:
        self.said.append(
          f'goes on after the {seconds:.2f} s that its header says: heard to'
          ' its end'
        )


def _seconds(container, stream) -> float:
  """How long a stream is by the header; 0 where it doesn't know."""
  import av

  if stream.duration:
    return float(stream.duration * stream.time_base)
  if container.format.name not in _WHOLE:
    return 0.0
  if of_stream := _DURATION.match(stream.metadata.get('DURATION', '')):
    hours, minutes, seconds = map(float, of_stream.groups())
    end = 3600 * hours + 60 * minutes + seconds
  elif len(container.streams) == 1:
    end = (container.duration or 0) / av.time_base
  else:
    return 0.0
  return end - max(0.0, float((stream.start_time or 0) * stream.time_base))


def _counts_frames(name) -> bool:
  """Whether an MP3 begins with a frame that says how many there are."""
  head = kinds.head_of(name, 1 << 16)
  return any(word in head for word in (b'Xing', b'Info', b'VBRI'))


def _samples(queue) -> Run:
  """All that a queue of frames holds, as (sample, channel), and Hz."""
  frame = queue.read(0, True)
  check_rate(frame.sample_rate)
  if frame.format.name in _NO_ARRAYS:
    frame = _as(frame, 'dbl')
  elif frame.format.is_planar and frame.layout.nb_channels >= _MANY:
    frame = _as(frame, frame.format.packed.name)
  samples = frame.to_ndarray()  # (channel, sample) or (1, sample · channel)
  if frame.format.is_planar:
    return samples.T, frame.sample_rate
  return samples.reshape(-1, frame.layout.nb_channels), frame.sample_rate


def _as(frame, kind):
  """A frame that PyAV makes no array of, as one of other numbers."""
  import av

  resampler = av.AudioResampler(kind, frame.layout, frame.sample_rate)
  (found,) = resampler.resample(frame)
  return found


def check_rate(rate: int) -> None:
  """Raises `NoSound` for a rate that is none."""
  if rate < MIN_RATE:
    raise NoSound(f'it has {rate} samples a second')


def cut_short(heard: float, expected: float) -> str:
  """What to say of a file that ends too soon; seconds."""
  return (
    f'ends after {heard:.2f} s of the {expected:.2f} s that its header says'
  )
