"""Reads a compiled program: which kernels it has, and what each moves."""

import re
from typing import NamedTuple

import numpy as np

_BYTES = {
  'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's16': 2, 's32': 4,
  'u32': 4, 'f32': 4, 's64': 8, 'u64': 8, 'f64': 8,
}  # fmt: skip
# They compute nothing and move nothing.
_FREE = {
  'parameter', 'get-tuple-element', 'bitcast', 'tuple', 'constant',
  'partition-id', 'replica-id', 'after-all', 'while', 'call', 'conditional',
}  # fmt: skip
_PRODUCTS = ('__cublas', '__cudnn', '__triton', '__onednn')
_HEAD = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\{$')
_LINE = re.compile(r'^\s*(ROOT )?%?([\w.\-]+) = (\(?.*?) ([\w\-]+)\((.*)$')
_ARRAY = re.compile(r'(\w+)\[([\d,]*)\]')
_NAME = re.compile(r'%([\w.\-]+)')


class Instruction(NamedTuple):
  """A line of HLO.

  Attributes:
    name: of its result.
    arrays: bytes of each array of the result.
    shape: the result's type, as HLO has it.
    kind: such as 'fusion'.
    operands: names.
    rest: of the line, from the operands on.
  """

  name: str
  arrays: list[int]
  shape: str
  kind: str
  operands: list[str]
  rest: str


class Kernel(NamedTuple):
  """An instruction that runs on the device.

  Attributes:
    moved: bytes that it reads and writes.
    product: whether it is one of the vendor's matrix products.
    instruction: it.
  """

  moved: int
  product: bool
  instruction: Instruction


def parse(program: str) -> tuple[dict[str, list[Instruction]], str]:
  """Computations by name, and the name of the first one to run."""
  out: dict[str, list[Instruction]] = {}
  now, entry = [], ''
  for line in program.splitlines():
    if head := _HEAD.match(line):
      now = out[head[2]] = []
      entry = head[2] if head[1] else entry
    elif found := _LINE.match(line):
      arrays = [_size(*a) for a in _ARRAY.findall(found[3])]
      inside = found[5].partition(')')[0]
      now.append(
        Instruction(
          found[2], arrays, found[3], found[4], _NAME.findall(inside), found[5]
        )
      )
  return out, entry


def _size(kind: str, numbers: str) -> int:
  """Bytes of an array; none of what is no array."""
  shape = [int(n) for n in numbers.split(',') if n]
  return _BYTES.get(kind, 0) * int(np.prod(shape))


def step_kernels(program: str) -> list[Kernel]:
  """The kernels of one step: of the loop over steps, the largest first.

  Args:
    program: optimised HLO of some steps, as text.
  """
  computations, entry = parse(program)
  bodies = [
    _called(i, 'body')
    for instructions in computations.values()
    for i in instructions
    if i.kind == 'while'
  ]
  # Of a single step there is no loop, and the loops within steps are small.
  return max(
    (_kernels(name, computations) for name in [entry, *bodies]),
    key=lambda kernels: sum(k.moved for k in kernels),
  )


def dispatch_kernels(program: str) -> list[Kernel]:
  """The kernels of a dispatch outside of its loops, the largest first."""
  computations, entry = parse(program)
  return _kernels(entry, computations)


def _kernels(name: str, computations) -> list[Kernel]:
  """Of a computation, the largest first."""
  found = [
    _kernel(i, computations[name], computations)
    for i in computations[name]
    if i.kind not in _FREE
  ]
  return sorted(found, key=lambda k: -k.moved)


def _called(instruction: Instruction, role: str) -> str:
  found = re.search(rf'{role}=%?([\w.\-]+)', instruction.rest)
  return found[1] if found else ''


def _kernel(instruction, computation, computations) -> Kernel:
  sizes = {i.name: i.arrays for i in computation}
  product = any(name in instruction.rest for name in _PRODUCTS)
  # The second array of a product is its room to work in.
  written = sum(instruction.arrays[:1] if product else instruction.arrays)
  inside = computations.get(_called(instruction, 'calls'), [])
  read = sum(
    _read(at, sum(sizes.get(name, [])), inside)
    for at, name in enumerate(instruction.operands)
  )
  return Kernel(written + read, product, instruction)


def _read(at: int, size: int, inside: list[Instruction]) -> int:
  """What a fusion reads of an operand: of a table, the rows that it takes."""
  parameter = [
    i.name
    for i in inside
    if i.kind == 'parameter' and i.rest.startswith(f'{at})')
  ]
  users = [i for i in inside if parameter and parameter[0] in i.operands]
  slices = [
    i
    for i in users
    if i.kind in ('gather', 'dynamic-slice', 'slice')
    and i.operands[0] == parameter[0]
  ]
  if users and len(slices) == len(users):
    return min(size, sum(sum(i.arrays) for i in slices))
  return size
