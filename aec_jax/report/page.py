"""A page of tables and figures: one self-contained HTML file, and Markdown.

A page is a list of sections of blocks. Both forms are written from the same
blocks, so the Markdown has the page's tables to the letter; of figures it has
the captions. There is no script, and nothing is fetched. All text is escaped.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from aec_jax.run import files, templates
from aec_jax.run.text import markdown, printable

_PACKAGE = 'aec_jax.report'


@dataclasses.dataclass(frozen=True)
class Cell:
  r"""A cell that shows more than its text.

  Attributes:
    text: may have several lines, parted by '\n'.
    bar: 0..1, the length of a bar beside the text.
    box: five numbers in 0..1, ascending: the ends, quartiles and middle of a
      box plot below the text.
    shade: 0..1, how dark the cell is.
    mark: grey, and bold in Markdown.
    link: '#anchor' of a block of the page, '' for none.
  """

  text: str
  bar: float | None = None
  box: Sequence[float] | None = None
  shade: float | None = None
  mark: bool = False
  link: str = ''


class _Block:
  """Something that stands on a page."""

  @property
  def kind(self) -> str:
    """What the template knows it by."""
    return type(self).__name__


@dataclasses.dataclass(frozen=True)
class Table(_Block):
  """Rows of strings and `Cell`s; the first of each row is its heading.

  Attributes:
    caption: what it shows.
    header: the columns' names.
    rows: each as long as the header.
    folded: whether the page shows it only when it is opened.
    dense: for a matrix of small cells.
  """

  caption: str
  header: Sequence[str]
  rows: Sequence[Sequence[str | Cell]]
  folded: bool = False
  dense: bool = False

  @property
  def cells(self) -> list[list[Cell]]:
    """The rows, with a `Cell` for each string."""
    return [[_cell(cell) for cell in row] for row in self.rows]

  @property
  def numbers(self) -> list[bool]:
    """(column,) whether it aligns to the right: numbers, without a bar."""
    columns = list(zip(*self.cells, strict=True)) or [()] * len(self.header)
    return [i > 0 and _is_numbers(column) for i, column in enumerate(columns)]


@dataclasses.dataclass(frozen=True)
class Text(_Block):
  """A paragraph."""

  text: str


@dataclasses.dataclass(frozen=True)
class Points(_Block):
  """A list of sentences."""

  points: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Code(_Block):
  """Lines to copy."""

  text: str


@dataclasses.dataclass(frozen=True)
class Figure(_Block):
  """A chart as `charts` draws it: HTML that is already escaped."""

  caption: str
  chart: str


@dataclasses.dataclass(frozen=True)
class Clip:
  """A card for a clip.

  Attributes:
    name: of the clip.
    facts: (what, value) pairs, the same whats for all clips of a group.
    picture: a data URI, with its description; '' for none.
    sound: a data URI, '' for none.
    strip: a chart beneath the picture, as wide: HTML that is already escaped.
  """

  name: str
  facts: Sequence[tuple[str, str]]
  picture: str = ''
  alt: str = ''
  sound: str = ''
  strip: str = ''


@dataclasses.dataclass(frozen=True)
class Clips(_Block):
  """Cards side by side, which a `Cell.link` may lead to by their anchor."""

  caption: str
  clips: Sequence[Clip]
  anchor: str = ''


Block = Table | Text | Points | Code | Figure | Clips


@dataclasses.dataclass(frozen=True)
class Section:
  """A heading and what stands below it."""

  title: str
  blocks: Sequence[Block]

  @property
  def groups(self) -> list[tuple[str, list[Block]]]:
    """The blocks by their kind, those together that follow one another."""
    grouped = itertools.groupby(self.blocks, lambda block: block.kind)
    return [(kind, list(blocks)) for kind, blocks in grouped]


def write(path: Path, title: str, sections: Sequence[Section]) -> None:
  """Writes a page, and beside it the same as Markdown.

  Args:
    path: of the page, PAGE.html; the Markdown is PAGE.md.
    title: the heading of all.
    sections: those without blocks are left out.
  """
  sections = [section for section in sections if section.blocks]
  for whole, text in (
    (path.with_suffix('.md'), to_markdown(title, sections)),
    (path, to_html(title, sections)),
  ):
    with files.whole(whole) as unfinished:
      # What is half of a character can be in a name, and in no page.
      unfinished.write_text(text, encoding='utf-8', errors='replace')


def to_html(title: str, sections: Sequence[Section]) -> str:
  """The page, whole."""
  style = resources.files(_PACKAGE).joinpath('page.css').read_text('utf-8')
  return templates.render(
    _PACKAGE, 'page.html.jinja', title=title, sections=sections, style=style
  )


def to_markdown(title: str, sections: Sequence[Section]) -> str:
  """The same as GitHub's Markdown, without the pictures."""
  parts = [f'# {markdown(title)}']
  for section in sections:
    parts.append(f'## {markdown(section.title)}')
    parts += [_block_markdown(block) for block in section.blocks]
  return '\n\n'.join(parts) + '\n'


def _cell(cell: str | Cell) -> Cell:
  return Cell(cell) if isinstance(cell, str) else cell


def _is_numbers(column: Sequence[Cell]) -> bool:
  return all(
    cell.bar is None and cell.text[:1] in '-+0123456789—' for cell in column
  )


def _block_markdown(block: Block) -> str:
  match block:
    case Text(text):
      return markdown(text)
    case Points(points):
      return '\n'.join(f'- {markdown(point)}' for point in points)
    case Code(text):
      lines = '\n'.join(map(printable, text.split('\n')))
      return f'```\n{lines}\n```'
    case Figure(caption):
      return f'*Figure: {markdown(caption)}*'
    case Clips(caption, clips):
      header = ['clip', *(what for what, _ in clips[0].facts)]
      rows = [[c.name, *(value for _, value in c.facts)] for c in clips]
      return _table_markdown(Table(caption, header, rows))
    case Table():
      return _table_markdown(block)


def _table_markdown(table):
  rows = [table.header, ['---'] * len(table.header), *table.rows]
  lines = [f'| {" | ".join(map(_cell_markdown, row))} |' for row in rows]
  return '\n'.join([f'**{markdown(table.caption)}**', '', *lines])


def _cell_markdown(cell):
  cell = _cell(cell)
  text = '<br>'.join(map(markdown, str(cell.text).split('\n')))
  return f'**{text}**' if cell.mark else text
