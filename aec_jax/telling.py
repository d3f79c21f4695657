"""Tells what was found in sounds: answers on stdout, oddities on stderr.

Whichever way answers are written, what is odd about sounds, or wrong with them,
is said on stderr, and counts for the command's exit status.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from aec_jax import formats
from aec_jax.run.text import printable

if TYPE_CHECKING:  # which import JAX, and --help shall not
  from aec_jax.answers import Answer
  from aec_jax.bundle.timeline import Drawing


class Told:
  """Passes sounds on, counts them, and says on stderr what is odd about them.

  Args:
    sounds: (file, name, `Found`), as `predict.tag` gives them.

  Attributes:
    good, failed: how many sounds were heard, and how many could not be.
    mistakes: how many of these the user named.
  """

  def __init__(self, sounds: Iterable[tuple]) -> None:
    self._sounds = sounds
    self.good = self.failed = self.mistakes = 0

  def __iter__(self) -> Iterator[tuple]:
    for file, name, found in self._sounds:
      if found.error:
        print(f'error: {printable(str(found.error))}', file=sys.stderr)
        self.failed, self.mistakes = self.failed + 1, self.mistakes + file.named
      else:
        self.good += found.last
      if found.last:
        say_notes(name, found.notes)
      yield file, name, found

  @property
  def status(self) -> int:
    """The command's exit status."""
    return 0 if self.good and not self.mistakes else 2


def say_notes(name: str, notes: Iterable[str]) -> None:
  """Says on stderr what is odd about a sound."""
  for note in notes:
    print(f'note: {printable(f"{name}: {note}")}', file=sys.stderr)


def tell(
  told: Told,
  kind: str,
  answer: 'Answer',
  band: tuple[float, float],
  drawing: 'Drawing | None' = None,
) -> None:
  """Writes what is found in sounds as it comes, and draws it.

  Args:
    told: the sounds.
    kind, answer, band: as `formats.writer` takes them.
    drawing: that plain tags are drawn by; None for none.
  """
  with formats.writer(kind, answer, band) as show:
    for file, name, found in told:
      show(name, found)
      if drawing and found.tags:
        drawing.add(file.path, found.tags)
  if drawing and told.good:
    drawing.write()
    print(f'wrote {printable(drawing.path)}', file=sys.stderr)
