"""The formats that a bundle's programs are exported in."""

import dataclasses
import importlib.util
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax import export as jax_export

from aec_jax.errors import UserError

Arrays = Mapping[str, np.ndarray]
_PLATFORMS = ('cpu', 'cuda', 'tpu')
_ONNX_PROPERTIES = ('experiment', 'sample_rate', 'classes', 'front_end')


@dataclasses.dataclass(frozen=True)
class Format:
  """How a program is kept.

  Attributes:
    suffix: of its file.
    encode: the file's content, of a function of batches, examples of its
      inputs, the name of its output and what export.json says.
    decode: such a content to what runs it: arrays to an array.
    float32: whether its products are float32 whatever the bundle's are.
    examples: whether the program `examples` is exported, too.
    tolerance: how far probabilities may be from the bundle's own.
    about: what export.json says of it.
    check: raises `UserError` where what it needs isn't installed.
  """

  suffix: str
  encode: Callable[[Callable, Arrays, str, dict], bytes]
  decode: Callable[[bytes], Callable[..., np.ndarray]]
  float32: bool
  examples: bool
  tolerance: float
  about: dict[str, Any]
  check: Callable[[], None]


def difference(found: np.ndarray, expected: np.ndarray) -> float:
  """The largest one, as a share of the largest number where that is over 1.

  Of integers, in steps.
  """
  found, expected = np.asarray(found), np.asarray(expected)
  if expected.dtype.kind in 'iu':
    return float(np.abs(found.astype(int) - expected.astype(int)).max())
  largest = np.abs(found - expected).max()
  return float(largest / max(1.0, np.abs(expected).max()))


def _stablehlo(function, inputs, output, about) -> bytes:
  del output, about
  (batch,) = jax_export.symbolic_shape('batch')
  shapes = [
    jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype)
    for x in inputs.values()
  ]
  exported = jax_export.export(jax.jit(function), platforms=_PLATFORMS)(*shapes)
  return bytes(exported.serialize())


def _run_stablehlo(content) -> Callable[..., np.ndarray]:
  program = jax_export.deserialize(bytearray(content))
  return lambda *arrays: np.asarray(program.call(*arrays))


def _onnx(function, inputs, output, about) -> bytes:
  from aec_jax.exports import onnx_writer  # which takes an extra

  told = {name: json.dumps(about[name]) for name in _ONNX_PROPERTIES}
  return onnx_writer.convert(function, inputs, output, told)


def _run_onnx(content) -> Callable[..., np.ndarray]:
  import onnxruntime

  try:
    session = onnxruntime.InferenceSession(
      content, providers=['CPUExecutionProvider']
    )
  except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented as error:
    raise UserError(
      f'onnxruntime {onnxruntime.__version__} does not run the network'
      f' ({" ".join(str(error).split())}): export with --format=stablehlo'
    ) from error
  names = [x.name for x in session.get_inputs()]
  return lambda *arrays: session.run(
    None, dict(zip(names, arrays, strict=True))
  )[0]


def _check_onnx() -> None:
  for name in ('onnx', 'onnxruntime'):
    if importlib.util.find_spec(name) is None:
      raise UserError(
        f"--format=onnx needs {name}, which isn't installed: pip install"
        " '.[onnx]'"
      )


FORMATS = {
  'stablehlo': Format(
    'stablehlo',
    _stablehlo,
    _run_stablehlo,
    float32=False,
    examples=False,
    tolerance=1e-3,
    about={'platforms': _PLATFORMS},
    check=lambda: None,
  ),
  'onnx': Format(
    'onnx',
    _onnx,
    _run_onnx,
    float32=True,
    examples=True,
    tolerance=1e-4,
    about={},
    check=_check_onnx,
  ),
}
