"""A page of tables and figures: one self-contained HTML file, and Markdown.

A page is a list of sections of blocks. Both forms are written from the same
blocks, so the Markdown has the page's tables to the letter; of figures it has
the captions. There is no script, and nothing is fetched. All text is escaped.
"""

import dataclasses
import html
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from aec_jax.run import files


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
  """

  text: str
  bar: float | None = None
  box: Sequence[float] | None = None
  shade: float | None = None
  mark: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
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


@dataclasses.dataclass(frozen=True)
class Text:
  """A paragraph."""

  text: str


@dataclasses.dataclass(frozen=True)
class Code:
  """Lines to copy."""

  text: str


@dataclasses.dataclass(frozen=True)
class Figure:
  """A chart as `charts` draws it: HTML that is already escaped."""

  caption: str
  chart: str


@dataclasses.dataclass(frozen=True)
class Clip:
  """A card for a clip.

  Attributes:
    name: of the clip.
    facts: (what, value) pairs, the same whats for all clips of a group.
    picture: a data URI, with its description.
    sound: a data URI, '' for none.
  """

  name: str
  facts: Sequence[tuple[str, str]]
  picture: str
  alt: str
  sound: str = ''


@dataclasses.dataclass(frozen=True)
class Clips:
  """Cards side by side."""

  caption: str
  clips: Sequence[Clip]


Block = Table | Text | Code | Figure | Clips


@dataclasses.dataclass(frozen=True)
class Section:
  """A heading and what stands below it."""

  title: str
  blocks: Sequence[Block]


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
      unfinished.write_text(text, encoding='utf-8')


def to_html(title: str, sections: Sequence[Section]) -> str:
  """The page, whole."""
  style = resources.files(__package__).joinpath('page.css').read_text('utf-8')
  links = ''.join(
    f'<li><a href="#s{i}">{_escape(section.title)}</a></li>'
    for i, section in enumerate(sections)
  )
  body = ''.join(
    f'<section id="s{i}"><h2>{_escape(section.title)}</h2>\n'
    f'{"".join(map(_block_html, section.blocks))}</section>\n'
    for i, section in enumerate(sections)
  )
  return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{_escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{_escape(title)}</h1>
<nav aria-label="Sections"><ul>{links}</ul></nav>
{body}</main>
</body>
</html>
"""


def to_markdown(title: str, sections: Sequence[Section]) -> str:
  """The same as GitHub's Markdown, without the pictures."""
  parts = [f'# {_plain(title)}']
  for section in sections:
    parts.append(f'## {_plain(section.title)}')
    parts += [_block_markdown(block) for block in section.blocks]
  return '\n\n'.join(parts) + '\n'


def _escape(text):
  return html.escape(str(text))


def _block_html(block: Block) -> str:
  match block:
    case Text(text):
      return f'<p>{_escape(text)}</p>\n'
    case Code(text):
      return f'<pre tabindex="0"><code>{_escape(text)}</code></pre>\n'
    case Figure(caption, chart):
      caption = f'<figcaption>{_escape(caption)}</figcaption>'
      return f'<figure>{chart}{caption}</figure>\n'
    case Clips(caption, clips):
      cards = ''.join(map(_clip_html, clips))
      return f'<h3>{_escape(caption)}</h3>\n<div class="clips">{cards}</div>\n'
    case Table():
      return _table_html(block)


def _clip_html(clip):
  facts = ''.join(
    f'<dt>{_escape(what)}</dt><dd>{_escape(value)}</dd>'
    for what, value in clip.facts
  )
  sound = (
    f'<audio controls preload="metadata" src="{clip.sound}"'
    f' aria-label="{_escape(clip.name)}"></audio>'
    if clip.sound
    else ''
  )
  return (
    f'<article><h4>{_escape(clip.name)}</h4><img src="{clip.picture}"'
    f' alt="{_escape(clip.alt)}">{sound}<dl>{facts}</dl></article>\n'
  )


def _table_html(table):
  caption = _escape(table.caption)
  columns = list(zip(*table.rows, strict=True))
  numbers = [i > 0 and _is_numbers(column) for i, column in enumerate(columns)]
  header = ''.join(
    f'<th scope="col"{_classes(["number"] * number)}>{_escape(name)}</th>'
    for name, number in zip(table.header, numbers, strict=True)
  )
  rows = ''.join(
    f'<tr>{"".join(map(_cell_html, row, range(len(row)), numbers))}</tr>\n'
    for row in table.rows
  )
  # A region that scrolls must be within reach of the keyboard.
  inner = (
    f'<div class="wide" tabindex="0" role="region" aria-label="{caption}">'
    f'<table{_classes(["dense"] * table.dense)}>'
    f'<caption><span>{caption}</span></caption>'
    f'<thead><tr>{header}</tr></thead><tbody>\n{rows}</tbody></table></div>\n'
  )
  if table.folded:
    return f'<details><summary>{caption}</summary>{inner}</details>\n'
  return inner


def _is_numbers(column):
  """Whether a column aligns to the right: numbers, without a bar beside."""
  if any(isinstance(cell, Cell) and cell.bar is not None for cell in column):
    return False
  texts = [cell if isinstance(cell, str) else cell.text for cell in column]
  return all(text[:1] in '-0123456789—' for text in texts)


def _classes(names):
  return f' class="{" ".join(names)}"' if names else ''


def _cell_html(cell, column, number):
  tag, scope = ('td', '') if column else ('th', ' scope="row"')
  cell = Cell(cell) if isinstance(cell, str) else cell
  kinds, style, after = ['number'] * number, '', ''
  if cell.bar is not None:
    kinds, style = [*kinds, 'bar'], f' style="--v:{cell.bar:.3f}"'
  if cell.shade is not None:
    kinds, style = [*kinds, 'shade'], f' style="--v:{cell.shade:.2f}"'
  if cell.box is not None:
    after = _box(cell.box)
  if cell.mark:
    kinds.append('mark')
  text = f'{_lines(cell.text)}{after}'
  return f'<{tag}{scope}{_classes(kinds)}{style}>{text}</{tag}>'


def _lines(text):
  return _escape(text).replace('\n', '<br>')


def _box(numbers):
  """A box plot of an em's height; its numbers stand in the text above."""
  low, q1, middle, q3, high = (round(100 * n, 1) for n in numbers)
  return (
    '<svg class="box" viewBox="0 0 100 10" preserveAspectRatio="none"'
    f' aria-hidden="true"><path d="M{low} 5H{high}"/>'
    f'<rect x="{q1}" y="1" width="{q3 - q1:.1f}" height="8"/>'
    f'<path class="middle" d="M{middle} 0V10"/></svg>'
  )


def _block_markdown(block: Block) -> str:
  match block:
    case Text(text):
      return _plain(text)
    case Code(text):
      return f'```\n{text}\n```'
    case Figure(caption):
      return f'*Figure: {_plain(caption)}*'
    case Clips(caption, clips):
      header = ['clip', *(what for what, _ in clips[0].facts)]
      rows = [[c.name, *(value for _, value in c.facts)] for c in clips]
      return _table_markdown(Table(caption, header, rows))
    case Table():
      return _table_markdown(block)


def _table_markdown(table):
  rows = [table.header, ['---'] * len(table.header), *table.rows]
  lines = [f'| {" | ".join(map(_cell_markdown, row))} |' for row in rows]
  return '\n'.join([f'**{_plain(table.caption)}**', '', *lines])


def _cell_markdown(cell):
  if isinstance(cell, str):
    return _plain(cell).replace('\n', '<br>')
  text = _plain(cell.text).replace('\n', '<br>')
  return f'**{text}**' if cell.mark else text


def _plain(text):
  """Text that Markdown shows as it is."""
  for special in '\\|*_`<>[]':
    text = str(text).replace(special, f'\\{special}')
  return text
