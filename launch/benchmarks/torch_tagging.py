"""Other projects' networks from waveform to classes, as peers, on PyTorch.

Random weights, in our own words from what their authors have published: theirs
are not needed for time alone.

CNN14 of PANNs (Kong et al. 2020, arXiv:1912.10211): 10 s at 32 kHz, windows of
1,024 every 320 samples, 64 mel bands from 50 to 14,000 Hz, six blocks of two
3 × 3 convolutions with batch norm, mean pools by 2 between them, the mean over
bands, the maximum and the mean over time, a hidden layer of 2,048, 527 classes.
They count 42.2 × 10⁹ operations a clip, which these layers have (40.1) with a
Fourier transform by convolution (2.1), for which there is an FFT here.

BirdNET 2.4 (https://birdnet-team.github.io/birdnet/models.html, and its author
in github.com/birdnet-team/BirdNET-Analyzer/issues/177): 3 s at 48 kHz, scaled
to [-1, 1]; two mel spectrograms of 96 × 511, 0 to 3,000 Hz by windows of 2,048
every 278 samples and 500 to 15,000 Hz by 1,024 every 280, magnitudes to a
power that is learned; a convolution, a pool, a backbone like EfficientNet-B0's,
the mean, an embedding of 1,024, 6,522 classes; 0.826 GFLOP and 50.5 MB. How its
sequence of blocks differs from B0's is not published: here it is B0's own (Tan
and Le 2019, arXiv:1905.11946), after a convolution of stride 1 and a pool by 2:
0.794 GFLOP and 42.4 MB.

As a user would have them at their best: channels last, batch norms folded into
the convolutions before them.
"""

import itertools

import numpy as np
import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.utils.flop_counter import FlopCounterMode

BIRDNET = 'like BirdNET 2.4'
PANNS_CLASSES, BIRDNET_CLASSES = 527, 6_522
# Window, step, lowest and highest Hz.
BIRDNET_MELS = ((2048, 278, 0, 3_000), (1024, 280, 500, 15_000))
_PANNS_WIDTHS = (64, 128, 256, 512, 1024, 2048)
# Of EfficientNet-B0: expansion, channels, blocks, stride, kernel.
STAGES = (
  (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
  (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
)  # fmt: skip


def mel_matrix(
  rate: int, n_fft: int, bands: int, low: float, high: float
) -> torch.Tensor:
  """(bin, band) triangles, even in mel."""
  mel = lambda hertz: 1127 * np.log1p(np.asarray(hertz) / 700)
  bins = mel(np.linspace(0, rate / 2, n_fft // 2 + 1))[:, None]
  edges = np.linspace(mel(low), mel(high), bands + 2)
  rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
  fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
  weights = np.maximum(0, np.minimum(rise, fall))
  return torch.tensor(weights, dtype=torch.float32)


class Spectrogram(nn.Module):
  """Waveforms (clip, sample) -> mel magnitudes (clip, frame, band).

  Args:
    rate: Hz.
    n_fft, step: samples of a window, and from one to the next.
    bands, low, high: of mel, Hz.
    centred: whether windows are centred on their frames, at the ends, too.
    power: of the magnitudes.
  """

  def __init__(self, rate, n_fft, step, bands, low, high, centred, power):
    super().__init__()
    self.n_fft, self.step = n_fft, step
    self.centred, self.power = centred, power
    self.register_buffer('window', torch.hann_window(n_fft))
    self.register_buffer('mel', mel_matrix(rate, n_fft, bands, low, high))

  def forward(self, x):
    spectrum = torch.stft(
      x, self.n_fft, self.step, window=self.window, center=self.centred,
      return_complex=True,
    )  # fmt: skip
    magnitudes = spectrum.abs() ** self.power  # (clip, bin, frame)
    return magnitudes.transpose(1, 2) @ self.mel


class PannsFrontEnd(nn.Module):
  """Waveforms (clip, 320000) -> log-mel (clip, 1, 1001, 64)."""

  def __init__(self):
    super().__init__()
    self.mel = Spectrogram(32_000, 1024, 320, 64, 50, 14_000, True, 2)
    self.norm = nn.BatchNorm1d(64)

  def forward(self, x):
    bands = 10 * self.mel(x).clamp(min=1e-10).log10()
    return self.norm(bands.transpose(1, 2)).transpose(1, 2)[:, None]


class Cnn14(nn.Module):
  """Log-mel (clip, 1, frame, 64) -> probabilities (clip, 527)."""

  def __init__(self):
    super().__init__()
    widths = (1, *_PANNS_WIDTHS)
    self.blocks = nn.ModuleList(
      nn.Sequential(*_convolution(a, b, 3), *_convolution(b, b, 3))
      for a, b in itertools.pairwise(widths)
    )
    self.hidden = nn.Linear(widths[-1], widths[-1])
    self.output = nn.Linear(widths[-1], PANNS_CLASSES)

  def forward(self, x):
    for block in self.blocks[:-1]:
      x = nn.functional.avg_pool2d(block(x), 2)
    x = self.blocks[-1](x).mean(3)  # (clip, channel, frame)
    return self.output(self.hidden(x.amax(2) + x.mean(2)).relu()).sigmoid()


class BirdnetFrontEnd(nn.Module):
  """Waveforms (clip, 144000) -> two spectrograms (clip, 2, 96, 511)."""

  def __init__(self):
    super().__init__()
    self.both = nn.ModuleList(
      Spectrogram(48_000, n_fft, step, 96, low, high, False, 1)
      for n_fft, step, low, high in BIRDNET_MELS
    )
    self.exponents = nn.Parameter(torch.tensor((0.4, 0.4)))

  def forward(self, x):
    x = x / x.abs().amax(1, keepdim=True).clamp(min=1e-6)
    bands = torch.stack([mel(x) for mel in self.both], 1)
    return (bands ** self.exponents[:, None, None]).transpose(2, 3)


class Birdnet(nn.Module):
  """Spectrograms (clip, 2, 96, 511) -> probabilities (clip, 6522)."""

  def __init__(self):
    super().__init__()
    layers, size = [*_convolution(2, 32, 3, act=nn.SiLU), nn.AvgPool2d(2)], 32
    for expansion, width, count, stride, kernel in STAGES:
      for i in range(count):
        layers.append(
          Inverted(size, width, expansion, kernel, 1 if i else stride)
        )
        size = width
    layers += _convolution(size, 1024, 1, act=nn.SiLU)
    self.backbone = nn.Sequential(*layers)
    self.output = nn.Linear(1024, BIRDNET_CLASSES)

  def forward(self, x):
    return self.output(self.backbone(x).mean((2, 3))).sigmoid()


class Inverted(nn.Module):
  """An inverted residual block with squeeze and excitation."""

  def __init__(self, size, width, expansion, kernel, stride):
    super().__init__()
    inner, squeezed = size * expansion, size // 4
    layers = _convolution(size, inner, 1, act=nn.SiLU) if expansion > 1 else []
    layers += _convolution(inner, inner, kernel, stride, inner, nn.SiLU)
    self.spread = nn.Sequential(*layers)
    self.gate = nn.Sequential(
      nn.Conv2d(inner, squeezed, 1), nn.SiLU(),
      nn.Conv2d(squeezed, inner, 1), nn.Sigmoid(),
    )  # fmt: skip
    self.project = nn.Sequential(*_convolution(inner, width, 1, act=None))
    self.residual = stride == 1 and size == width

  def forward(self, x):
    y = self.spread(x)
    y = self.project(y * self.gate(y.mean((2, 3), keepdim=True)))
    return x + y if self.residual else y


def _convolution(size, width, kernel, stride=1, groups=1, act=nn.ReLU):
  """The layers of a convolution with batch norm."""
  layers = [
    nn.Conv2d(
      size, width, kernel, stride, kernel // 2, groups=groups, bias=False
    ),
    nn.BatchNorm2d(width),
  ]
  return [*layers, act()] if act else layers


class Peer:
  """A network with random weights and what comes before it.

  Args:
    front_end, network: modules.
    rate: Hz.
    seconds: of a clip.

  Attributes:
    rate: Hz.
    gflop: of the network's convolutions and products, a second of sound.
  """

  def __init__(
    self, front_end: nn.Module, network: nn.Module, rate: int, seconds: int
  ) -> None:
    self.rate, self.seconds = rate, seconds
    self._front_end = front_end.eval()
    network = fuse(network.eval())
    self._network = network.to(memory_format=torch.channels_last)
    silence = self.spectrograms(np.zeros(rate * seconds, np.float32))
    with FlopCounterMode(display=False) as counted:
      self.tag(silence)
    self.gflop = counted.get_total_flops() * 1e-9 / seconds

  @torch.inference_mode()
  def spectrograms(self, waveform: np.ndarray) -> torch.Tensor:
    """What the network takes of a waveform (sample,) of whole clips."""
    clips = waveform.reshape(-1, self.rate * self.seconds)
    found = self._front_end(torch.from_numpy(clips))
    return found.contiguous(memory_format=torch.channels_last)

  @torch.inference_mode()
  def tag(self, spectrograms: torch.Tensor) -> torch.Tensor:
    """Probabilities (clip, class)."""
    return self._network(spectrograms)


def peers() -> dict[str, Peer]:
  """By name."""
  return {
    'PANNs CNN14': Peer(PannsFrontEnd(), Cnn14(), 32_000, 10),
    BIRDNET: Peer(BirdnetFrontEnd(), Birdnet(), 48_000, 3),
  }
