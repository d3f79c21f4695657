"""A synthetic data set of the shape of FSDKaggle2018: real wavs, real lists.

41 classes of parametric sounds (tones, chirps, noises, decays, clicks) in
Kaggle's layout, so that everything runs where the real set is not at hand. A
class is a kind of spectrum, of glide or of rhythm: pitch, level, onset,
silence and background noise are random in each.
"""

import concurrent.futures
import csv
import io
import json
import os
from collections.abc import Callable

import numpy as np
import soundfile

from aec_jax.errors import UserError
from aec_jax.run import files

RATE = 44100  # Hz
DURATION = 0.3, 30.0  # s, the range of the real set
VERIFIED = 0.39  # of the training clips: 3,710 of 9,473
WRONG = 0.2  # of the labels of the other clips
PUBLIC = 0.19  # of the scored test clips
_STAMP = 'synthetic.json'
_FORMAT = 1  # Goes up when the sounds change, so that an old folder is noticed.

# Every sound is (rng, t, f) -> samples: t (sample,) in seconds, f in Hz.
Sound = Callable[[np.random.Generator, np.ndarray, float], np.ndarray]

_EVEN = {1: 1.0, 2: 0.8, 3: 0.7, 4: 0.6, 5: 0.5, 6: 0.4, 7: 0.4, 8: 0.3}
_SOFT = {1: 1.0, 2: 0.25, 3: 0.1}
_ODD = {1: 1.0, 3: 0.5, 5: 0.35, 7: 0.25, 9: 0.2}
_HIGH = {5: 0.7, 6: 1.0, 7: 1.0, 8: 0.7}
_OCTAVES = {1: 1.0, 2: 0.9, 4: 0.8, 8: 0.7}
_FIFTH = {1: 1.0, 1.5: 1.0, 2: 0.4, 3: 0.4}
_BELL = {1: 1.0, 2.76: 0.7, 5.4: 0.5, 8.93: 0.3}


def _tone(partials, glide=None) -> Sound:
  """Partials {ratio: amplitude} of f, which glides by `glide(u)` octaves.

  u goes from 0 to 1 in the course of the clip; t is in seconds.
  """

  def sound(rng, t, f):
    octaves = glide(t / t[-1], t) if glide else np.zeros(1)
    steps = np.broadcast_to(f / RATE * 2**octaves, t.shape)
    cycles = np.cumsum(steps)
    total = np.zeros(len(t), np.float32)
    for ratio, amplitude in partials.items():
      phase = ratio * cycles + rng.random()
      # Whole turns go first, for float32 (whose sine is fast) is coarse.
      phase = (phase - np.floor(phase)).astype(np.float32)
      total += np.float32(amplitude) * np.sin(np.float32(2 * np.pi) * phase)
    return total

  return sound


def _noise(slope=0.0, low=0.0, high=RATE / 2) -> Sound:
  """Noise whose power falls by 6 dB × slope an octave, between low and high."""

  def sound(rng, t, f):
    import scipy.fft  # a third of a second, and only to make the set

    size = scipy.fft.next_fast_len(len(t), real=True)
    spectrum = scipy.fft.rfft(rng.standard_normal(size, np.float32))
    hertz = np.fft.rfftfreq(size, 1 / RATE).astype(np.float32)
    inside = (hertz >= low) & (hertz <= high)
    spectrum *= inside * np.maximum(hertz, 50) ** np.float32(-slope)
    return scipy.fft.irfft(spectrum, size)[: len(t)]

  return sound


def _narrow(width, glide=None) -> Sound:
  """Noise `width` Hz wide about 3 f, which glides."""

  def sound(rng, t, f):
    knots = np.arange(0, t[-1] + 2 / width, 1 / width)
    slow = np.interp(t, knots, rng.standard_normal(len(knots)))
    return slow * _tone({3: 1.0}, glide)(rng, t, f)

  return sound


def _shaped(sound, envelope) -> Sound:
  """A sound times `envelope(t)`."""
  return lambda rng, t, f: sound(rng, t, f) * envelope(t)


def _mixed(first, second, share) -> Sound:
  """Two sounds at equal power but for a factor of the second's amplitude."""

  def sound(rng, t, f):
    a, b = first(rng, t, f), second(rng, t, f)
    return a + share * b * (_rms(a) / _rms(b))

  return sound


def _decay(seconds):
  return lambda t: np.exp(-t / seconds)


def _repeat(rate, seconds):
  """A decay that starts again `rate` times a second."""
  return lambda t: np.exp(-(t % (1 / rate)) / seconds)


def _tremolo(rate):
  return lambda t: 0.5 - 0.5 * np.cos(2 * np.pi * rate * t)


def _quicken(t):
  """Bursts at 3 a second, 3 more a second every second, up to 21."""
  early = np.minimum(t, 6)
  bursts = 3 * early + 1.5 * early**2 + 21 * (t - early)
  return np.exp(-12 * (bursts % 1))


def _up(u, t):
  return 2 * u - 0.5


def _down(u, t):
  return 1.5 - 2 * u


def _arch(u, t):
  return 1.5 * np.sin(np.pi * u)


def _dip(u, t):
  return 1.5 - 1.5 * np.sin(np.pi * u)


def _drop(u, t):
  return 1.5 * np.exp(-t / 0.06) - 1.0


def _vibrato(rate, depth):
  return lambda u, t: depth * np.sin(2 * np.pi * rate * t)


def _steps(rate):
  return lambda u, t: 0.5 * (t * rate % 1 < 0.5)


SOUNDS: dict[str, Sound] = {
  'tone-pure': _tone({1: 1.0}),
  'tone-soft': _tone(_SOFT),
  'tone-bright': _tone(_EVEN),
  'tone-odd': _tone(_ODD),
  'tone-nasal': _tone(_HIGH),
  'tone-octaves': _tone(_OCTAVES),
  'tone-fifth': _tone(_FIFTH),
  'tone-bell': _tone(_BELL),
  'chirp-up': _tone({1: 1.0}, _up),
  'chirp-down': _tone({1: 1.0}, _down),
  'chirp-up-bright': _tone(_EVEN, _up),
  'chirp-down-bright': _tone(_EVEN, _down),
  'chirp-arch': _tone(_SOFT, _arch),
  'chirp-dip': _tone(_SOFT, _dip),
  'vibrato-slow': _tone(_SOFT, _vibrato(2.5, 0.3)),
  'vibrato-fast': _tone(_SOFT, _vibrato(9.0, 0.2)),
  'siren': _tone(_ODD, _steps(1.5)),
  'trill': _tone(_ODD, _steps(8.0)),
  'tremolo-slow': _shaped(_tone(_EVEN), _tremolo(3.0)),
  'tremolo-fast': _shaped(_tone(_EVEN), _tremolo(12.0)),
  'buzz': _shaped(_tone(_EVEN), _tremolo(45.0)),
  'noise-white': _noise(),
  'noise-pink': _noise(0.5),
  'noise-brown': _noise(1.2),
  'noise-low': _noise(0.0, 100, 700),
  'noise-high': _noise(0.0, 4000, 9000),
  'noise-narrow': _narrow(120.0),
  'noise-sweep-up': _narrow(300.0, _up),
  'noise-sweep-down': _narrow(300.0, _down),
  'noise-tremolo': _shaped(_noise(0.5), _tremolo(6.0)),
  'pluck-soft': _shaped(_tone(_SOFT), _decay(0.15)),
  'pluck-bright': _shaped(_tone(_EVEN), _decay(0.15)),
  'pluck-repeated': _shaped(_tone(_EVEN), _repeat(5.0, 0.06)),
  'bell': _shaped(_tone(_BELL), _decay(0.4)),
  'drum': _shaped(_mixed(_tone({1: 1.0}, _drop), _noise(), 0.1), _decay(0.1)),
  'hiss-decay': _shaped(_noise(), _decay(0.12)),
  'rumble-decay': _shaped(_noise(1.2), _decay(0.25)),
  'clicks-slow': _shaped(_noise(), _repeat(4.0, 0.004)),
  'clicks-fast': _shaped(_noise(), _repeat(18.0, 0.004)),
  'clicks-quicken': _shaped(_noise(0.0, 1500, 8000), _quicken),
  'tone-in-noise': _mixed(_tone(_ODD), _noise(0.5), 0.7),
}


def write_wav(path: str | os.PathLike, samples: np.ndarray) -> None:
  """Writes 16 bits of sound at `RATE`.

  Raises:
    OSError: the system refuses; libsndfile would not say why.
  """
  wav = io.BytesIO()
  soundfile.write(wav, samples, RATE, 'PCM_16', format='WAV')
  with open(path, 'wb') as file:
    file.write(wav.getbuffer())


def make(
  folder: str | os.PathLike,
  seed: int = 0,
  clips_per_class: int = 12,
  test_per_class: int = 4,
  wrong_labels: float = WRONG,
) -> str:
  """Makes the data set, unless it is there already; all of it or nothing.

  Args:
    folder: where to put it: train.csv, test_post_competition.csv, audio_train/,
      audio_test/.
    seed: of everything random; the same seed gives the same bytes.
    clips_per_class: mean training clips a class; the largest classes have three
      times as many as the smallest, as in the real set.
    test_per_class: scored test clips a class; one file of padding for every
      eight of them comes on top.
    wrong_labels: the share of the training labels that are not verified and
      are wrong; all else stays the same.

  Returns:
    The folder.

  Raises:
    UserError: something else is in the folder, or a count is below 1.
  """
  folder = os.path.abspath(os.path.expanduser(folder))
  if min(clips_per_class, test_per_class) < 1:
    raise UserError('clips_per_class and test_per_class must be 1 or more')
  stamp = _stamp(seed, clips_per_class, test_per_class)
  if wrong_labels != WRONG:
    stamp['wrong_labels'] = wrong_labels
  if _is_made(folder, stamp):
    return folder
  try:
    with files.whole_folder(folder) as unfinished:
      _write(str(unfinished), stamp, wrong_labels)
  except OSError:  # Another process was faster.
    if not _is_made(folder, stamp):
      raise
  return folder


def clip(rng: np.random.Generator, sound: Sound, seconds: float) -> np.ndarray:
  """One clip: a sound at random pitch and level, in silence and noise.

  Returns:
    int16 (sample,) at `RATE`.
  """
  size = round(seconds * RATE)
  before, after = rng.uniform(0.0, 0.15, 2) * size
  t = np.arange(size - round(before) - round(after)) / RATE
  pitch = 220 * 2 ** rng.uniform(0.0, 2.0)
  wave = sound(rng, t, pitch)
  fade = np.minimum(1.0, np.minimum(t, t[-1] - t) / 0.003)  # no clicks at ends
  wave = wave * fade
  background = _noise(rng.uniform(0.0, 1.0))(rng, np.arange(size) / RATE, pitch)
  snr = rng.uniform(20.0, 45.0)  # dB
  background *= _rms(wave) / _rms(background) * 10 ** (-snr / 20)
  whole = np.zeros(size)
  start = round(before)
  inside = slice(start, start + len(t))
  whole[inside] = wave
  if rng.random() < 0.5:  # Digital silence around half of the sounds.
    whole[inside] += background[inside]
  else:
    whole += background
  peak = 10 ** (rng.uniform(-25.0, -0.5) / 20)  # of full scale
  return np.round(whole * (peak * 32767 / np.abs(whole).max())).astype(np.int16)


def _rms(x) -> float:
  return float(np.sqrt(np.mean(x * x))) + 1e-9


def _stamp(seed, clips_per_class, test_per_class) -> dict[str, float]:
  return {
    'format': _FORMAT,
    'seed': seed,
    'clips_per_class': clips_per_class,
    'test_per_class': test_per_class,
  }


def _is_made(folder, stamp) -> bool:
  """Whether the folder has this data set; False where nothing is there."""
  if not os.path.exists(folder) or (
    os.path.isdir(folder) and not os.listdir(folder)
  ):
    return False
  files.check_file(os.path.join(folder, _STAMP), needed=False)
  try:
    with open(os.path.join(folder, _STAMP), encoding='utf-8') as f:
      found = json.load(f)
  except (OSError, ValueError):
    found = None
  if found != stamp:
    raise UserError(
      f'{folder}: not empty, and not the synthetic set of {stamp}; name another'
      ' folder or remove it'
    )
  return True


def _write(folder, stamp, wrong_labels) -> None:
  seed, test_per_class = stamp['seed'], stamp['test_per_class']
  rng = np.random.default_rng(seed)
  classes = np.arange(len(SOUNDS))
  train = np.repeat(classes, _class_sizes(rng, stamp['clips_per_class']))
  test = np.repeat(classes, test_per_class)
  padding = rng.choice(classes, -(-len(test) // 8))
  sounds = np.concatenate([train, test, padding])  # (clip,) class of its sound
  seconds = np.clip(rng.lognormal(np.log(2.0), 0.8, len(sounds)), *DURATION)
  seconds[rng.choice(len(sounds), 2, replace=False)] = DURATION
  names = _file_names(rng, len(sounds))
  _write_train(folder, rng, names[: len(train)], train, wrong_labels)
  _write_test(folder, rng, names[len(train) :], test, len(padding))
  folders = ['audio_train'] * len(train)
  folders += ['audio_test'] * (len(sounds) - len(train))
  kinds = list(SOUNDS.values())

  def write_audio(i):
    # Each clip has its own stream: the order of writing does not matter.
    samples = clip(
      np.random.default_rng([seed, i]), kinds[sounds[i]], seconds[i]
    )
    path = os.path.join(folder, folders[i], names[i])
    write_wav(path, samples)

  for name in set(folders):
    os.mkdir(os.path.join(folder, name))
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(write_audio, range(len(sounds))))
  with open(os.path.join(folder, _STAMP), 'w', encoding='utf-8') as f:
    json.dump(stamp, f)


def _class_sizes(rng, mean) -> np.ndarray:
  """Clips of each class, spread as the real 94 to 300 (many of them 300)."""
  real = np.minimum(rng.uniform(94, 420, len(SOUNDS)), 300)
  return np.maximum(1, np.round(mean * real / real.mean())).astype(int)


def _file_names(rng, count) -> list[str]:
  """Different names of eight hexadecimal digits, as the real set has."""
  numbers = rng.choice(2**32 // 1000, count, replace=False) * 1000
  return [f'{number:08x}.wav' for number in numbers]


def _write_train(folder, rng, names, sounds, wrong_labels) -> None:
  # One of each class for sure, lest all its labels be wrong and it vanish.
  first = np.unique(sounds, return_index=True)[1]
  share = (VERIFIED * len(sounds) - len(first)) / len(sounds)
  verified = rng.random(len(sounds)) < share
  verified[first] = True
  wrong = ~verified & (rng.random(len(sounds)) < wrong_labels)
  shift = rng.integers(1, len(SOUNDS), len(sounds))
  labels = np.where(wrong, sounds + shift, sounds) % len(SOUNDS)
  rows = zip(names, _labels(labels), verified.astype(int), strict=True)
  heading = 'fname', 'label', 'manually_verified'
  _write_csv(os.path.join(folder, 'train.csv'), heading, rows)


def _write_test(folder, rng, names, sounds, padding: int) -> None:
  usage = np.where(rng.random(len(sounds)) < PUBLIC, 'Public', 'Private')
  labels = _labels(sounds) + ['None'] * padding
  rows = zip(names, labels, [*usage] + ['Ignored'] * padding, strict=True)
  path = os.path.join(folder, 'test_post_competition.csv')
  _write_csv(path, ('fname', 'label', 'usage'), rows)


def _labels(indices) -> list[str]:
  names = list(SOUNDS)
  return [names[i] for i in indices]


def _write_csv(path, heading, rows) -> None:
  """The rows by file name, so that classes come mixed, as in the real set."""
  with open(path, 'w', encoding='utf-8', newline='') as f:
    writer = csv.writer(f, lineterminator='\n')
    writer.writerow(heading)
    writer.writerows(sorted(rows))
