"""`torch_tagging.Birdnet`'s layers in TensorFlow Lite, as BirdNET is run.

A clip at a time, on all cores, by XNNPACK, which folds batch norms itself.
"""

import os

import numpy as np
import tensorflow as tf
from keras import layers
from tensorflow.python.framework import convert_to_constants

from launch.benchmarks import torch_tagging

RATE, SECONDS = 48_000, 3


def _convolution(x, width, kernel, stride=1, activation='silu'):
  """A convolution, by channel where `width` is None, with batch norm."""
  options = {'strides': stride, 'padding': 'same', 'use_bias': False}
  if width is None:
    x = layers.DepthwiseConv2D(kernel, **options)(x)
  else:
    x = layers.Conv2D(width, kernel, **options)(x)
  x = layers.BatchNormalization()(x)
  return layers.Activation(activation)(x) if activation else x


def _inverted(x, width, expansion, kernel, stride):
  """As `torch_tagging.Inverted`."""
  size, start = x.shape[-1], x
  if expansion > 1:
    x = _convolution(x, size * expansion, 1)
  x = _convolution(x, None, kernel, stride)
  gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
  gate = layers.Conv2D(size // 4, 1, activation='silu')(gate)
  gate = layers.Conv2D(x.shape[-1], 1, activation='sigmoid')(gate)
  x = _convolution(x * gate, width, 1, activation=None)
  return x + start if stride == 1 and size == width else x


def network() -> tf.keras.Model:
  """Spectrograms (1, 96, 511, 2) -> probabilities (1, 6522)."""
  start = layers.Input((96, 511, 2), batch_size=1)
  x = layers.AveragePooling2D(2)(_convolution(start, 32, 3))
  for expansion, width, count, stride, kernel in torch_tagging.STAGES:
    for i in range(count):
      x = _inverted(x, width, expansion, kernel, 1 if i else stride)
  x = layers.GlobalAveragePooling2D()(_convolution(x, 1024, 1))
  classes = torch_tagging.BIRDNET_CLASSES
  return tf.keras.Model(start, layers.Dense(classes, 'sigmoid')(x))


def front_end(x: tf.Tensor) -> tf.Tensor:
  """A waveform (1, 144000) -> spectrograms (1, 96, 511, 2)."""
  x = x / tf.maximum(tf.reduce_max(tf.abs(x)), 1e-6)
  both = []
  for n_fft, step, low, high in torch_tagging.BIRDNET_MELS:
    mel = torch_tagging.mel_matrix(RATE, n_fft, 96, low, high).numpy()
    magnitudes = tf.abs(tf.signal.stft(x, n_fft, step, n_fft))
    both.append(tf.matmul(magnitudes, mel[None]) ** 0.4)
  return tf.transpose(tf.stack(both, -1), (0, 2, 1, 3))


class Peer:
  """As `torch_tagging.Peer`."""

  rate = RATE

  def __init__(self) -> None:
    net = network()
    self._front_end = _compiled(front_end, (1, RATE * SECONDS))
    self._network = _compiled(lambda x: net(x, training=False), (1, 96, 511, 2))

  def spectrograms(self, waveform: np.ndarray) -> list[np.ndarray]:
    """Of a waveform (sample,) of whole clips, one each."""
    clips = waveform.reshape(-1, 1, RATE * SECONDS)
    return [_run(self._front_end, x) for x in clips]

  def tag(self, spectrograms: list[np.ndarray]) -> list[np.ndarray]:
    """Probabilities (1, class), one each."""
    return [_run(self._network, x) for x in spectrograms]


def _compiled(function, shape) -> tf.lite.Interpreter:
  traced = tf.function(function).get_concrete_function(
    tf.TensorSpec(shape, tf.float32)
  )
  frozen = convert_to_constants.convert_variables_to_constants_v2(traced)
  converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
  interpreter = tf.lite.Interpreter(
    model_content=converter.convert(), num_threads=os.cpu_count()
  )
  interpreter.allocate_tensors()
  return interpreter


def _run(interpreter: tf.lite.Interpreter, x: np.ndarray) -> np.ndarray:
  interpreter.set_tensor(interpreter.get_input_details()[0]['index'], x)
  interpreter.invoke()
  return interpreter.get_tensor(interpreter.get_output_details()[0]['index'])
