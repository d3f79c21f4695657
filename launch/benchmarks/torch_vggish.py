"""The usual way from a wav to VGGish's embeddings, as a peer, on PyTorch.

  python -m launch.benchmarks.torch_vggish WEIGHTS.npz PCA.npz SOUND \
      [--dtype=bfloat16]

What torchvggish's users run, in our own words: soundfile, a resampler, the
log-mel of VGGish's definition in numpy's float64, the network channels-last
(its own layout is a third slower), with `--dtype=bfloat16` by autocast, PCA,
uint8; a batch for each file.
"""

import argparse
from collections.abc import Mapping

import numpy as np
import soundfile
import torch
from torch import nn

WIDTHS = ((64,), (128,), (256, 256), (512, 512))
NAMES = ('conv1', 'conv2', 'conv3_1', 'conv3_2', 'conv4_1', 'conv4_2')


def network(weights: Mapping[str, np.ndarray]) -> nn.Sequential:
  """VGGish with weights named as in a file of `aec_jax.models.convert`."""
  layers, size = [], 1
  for block in WIDTHS:
    for width in block:
      layers += [nn.Conv2d(size, width, 3, padding=1), nn.ReLU()]
      size = width
    layers.append(nn.MaxPool2d(2))
  dense = (nn.Linear(12_288, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 128))
  layers += [nn.Flatten(), dense[0], nn.ReLU(), dense[1], nn.ReLU(), dense[2]]
  convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
  with torch.no_grad():
    for name, layer in zip(NAMES, convolutions, strict=True):
      kernel = torch.tensor(weights[f'{name}/kernel'])
      layer.weight.copy_(kernel.permute(3, 2, 0, 1))
      layer.bias.copy_(torch.tensor(weights[f'{name}/bias']))
    for name, layer in zip(('fc1_1', 'fc1_2', 'fc2'), dense, strict=True):
      kernel = torch.tensor(weights[f'{name}/kernel'])
      if name == 'fc1_1':  # its rows are (frame, band, channel); here channel
        kernel = kernel.reshape(24, 512, -1).transpose(0, 1)  # comes first
      layer.weight.copy_(kernel.reshape(-1, layer.out_features).T)
      layer.bias.copy_(torch.tensor(weights[f'{name}/bias']))
  return nn.Sequential(*layers).eval().to(memory_format=torch.channels_last)


def log_mel(x: np.ndarray) -> np.ndarray:
  """(sample,) at 16 kHz -> (example, 96, 64)."""
  window = 0.5 - 0.5 * np.cos(2 * np.pi / 400 * np.arange(400))
  frames = np.lib.stride_tricks.sliding_window_view(x, 400)[::160]
  magnitudes = np.abs(np.fft.rfft(frames * window, 512))
  mel = np.log(magnitudes @ mel_matrix() + 0.01)
  count = len(mel) // 96
  return mel[: 96 * count].reshape(count, 96, 64)


def mel_matrix() -> np.ndarray:
  """(bin, band) triangles, linear in mel, 125 to 7,500 Hz."""
  mel = lambda hertz: 1127 * np.log1p(hertz / 700)
  bins = mel(np.linspace(0, 8000, 257))[:, None]
  edges = np.linspace(mel(125.0), mel(7500.0), 66)
  low, centre, high = edges[:-2], edges[1:-1], edges[2:]
  rise, fall = (bins - low) / (centre - low), (high - bins) / (high - centre)
  weights = np.maximum(0, np.minimum(rise, fall))
  weights[0] = 0
  return weights


def soxr_hq(x: np.ndarray, rate: int) -> np.ndarray:
  import soxr

  return soxr.resample(x, rate, 16_000, 'HQ')


def resampy_best(x: np.ndarray, rate: int) -> np.ndarray:
  """What torchvggish itself has."""
  import resampy

  return resampy.resample(x, rate, 16_000)


def embed(
  path: str, net: nn.Module, pca, resample=soxr_hq, dtype: str = 'float32'
) -> np.ndarray:
  """A sound file's embeddings (example, 128) uint8."""
  x, rate = soundfile.read(path, dtype='int16', always_2d=True)
  x = resample((x / 32_768.0).mean(1), rate)
  examples = torch.from_numpy(log_mel(x).astype(np.float32))[:, None]
  examples = examples.contiguous(memory_format=torch.channels_last)
  half = torch.autocast('cpu', torch.bfloat16, dtype == 'bfloat16')
  with torch.inference_mode(), half:
    raw = net(examples).float().numpy()
  vectors, means = pca
  return np.uint8((np.clip((raw - means) @ vectors.T, -2, 2) + 2) * 63.75)


def load_pca(path: str) -> tuple[np.ndarray, np.ndarray]:
  with np.load(path, allow_pickle=False) as file:
    return file['pca_eigen_vectors'], file['pca_means'].ravel()


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  for name in ('weights', 'pca', 'sound'):
    parser.add_argument(name)
  parser.add_argument('--dtype', default='float32')
  args = parser.parse_args()
  net = network(np.load(args.weights, allow_pickle=False))
  # torchvggish's own resampler, resampy, compiles itself for 3 s and more.
  print(embed(args.sound, net, load_pca(args.pca), dtype=args.dtype))


if __name__ == '__main__':
  main()
