"""A page and its Markdown: the same tables, and nothing unescaped."""

import html.parser
import re

import finished_runs

from aec_jax.report import charts, page, write
from aec_jax.report.page import Cell, Clip, Clips, Code, Figure, Table, Text

BAD = '<script>alert("a|b")</script>'


class Tables(html.parser.HTMLParser):
  """Collects the cells' texts of a page's tables."""

  def __init__(self, text):
    super().__init__()
    self.tables, self.cell = [], None
    self.feed(text)

  def handle_starttag(self, tag, _):
    if tag == 'table':
      self.tables.append([])
    elif tag == 'tr':
      self.tables[-1].append([])
    elif tag in ('th', 'td'):
      self.cell = ''
    elif tag == 'br' and self.cell is not None:
      self.cell += '<br>'

  def handle_data(self, data):
    if self.cell is not None:
      self.cell += data

  def handle_endtag(self, tag):
    if tag in ('th', 'td'):
      self.tables[-1][-1].append(self.cell)
      self.cell = None


def markdown_tables(text):
  """The same of a Markdown file; bold, which marks a cell, is taken off."""
  tables, inside = [], False
  for line in text.splitlines():
    if not line.startswith('| '):
      inside = False
      continue
    if not inside:
      tables.append([])
    inside = True
    cells = [c.strip() for c in re.split(r'(?<!\\)\|', line)[1:-1]]
    if set(cells) != {'---'}:
      tables[-1].append([plain(cell) for cell in cells])
  return tables


def plain(cell):
  cell = re.sub(r'(?<!\\)\*\*', '', cell)
  return re.sub(r'\\(.)', r'\1', cell)


def test_the_markdown_has_the_pages_tables(tmp_path):
  for make in (finished_runs.audioset_run, finished_runs.dcase_run):
    folder = tmp_path / make.__name__
    write(folder, make(folder), finished_runs.show)
    found = Tables((folder / 'report/index.html').read_text()).tables
    text = (folder / 'report/index.md').read_text()
    # The clips, too, are tables in Markdown.
    written = [t for t in markdown_tables(text) if t[0][0] != 'clip']
    assert len(found) >= 6
    assert written == found


def test_nothing_from_data_is_markup():
  sections = [
    page.Section(
      BAD,
      [
        Text(BAD),
        Code(BAD),
        Table(BAD, [BAD, 'n'], [[BAD, Cell(BAD, mark=True)]]),
        Table(BAD, [BAD], [[BAD]], folded=True),
        Figure(BAD, charts.lines({BAD: ([1, 2], [3, 4])}, BAD, BAD)),
        Figure(BAD, charts.dots([BAD], {BAD: [0.5]}, BAD)),
        Clips(BAD, [Clip(BAD, [(BAD, BAD)], 'data:,', BAD, 'data:,')]),
      ],
    )
  ]
  text = page.to_html(BAD, sections)
  assert '<script' not in text and text.count('&lt;script&gt;') > 15
  text = page.to_markdown(BAD, sections)
  text = text.replace(f'```\n{BAD}\n```', '')
  assert not re.search(r'(?<!\\)<script', text)


def test_bars_boxes_and_shades_keep_their_text():
  cells = [
    Cell('0.5', bar=0.5),
    Cell('1 · 2', box=[0, 0.1, 0.2, 0.3, 1]),
    Cell('3', shade=0.75),
  ]
  text = page.to_html(
    't', [page.Section('s', [Table('c', 'abcd', [['x', *cells]])])]
  )
  assert Tables(text).tables[0][1] == ['x', '0.5', '1 · 2', '3']
  assert '--v:0.500' in text and '--v:0.75' in text


def test_sections_without_blocks_are_left_out(tmp_path):
  path = tmp_path / 'new' / 'page.html'
  sections = [page.Section('empty', []), page.Section('full', [Text('x')])]
  page.write(path, 'A title', sections)
  assert 'empty' not in path.read_text()
  assert path.with_suffix('.md').read_text() == '# A title\n\n## full\n\nx\n'
  assert len(list(path.parent.iterdir())) == 2


def test_control_characters_are_shown_and_not_sent(tmp_path):
  """A class or a file may have any name."""
  bad = 'a\x1b[31m\u202eb'
  chart = charts.lines({bad: ([0, 1], [0, 1])}, bad, bad)
  blocks = [
    Text(bad),
    Code(f'{bad}\nline two'),
    Table(bad, (bad, 'x'), [(f'{bad}\ntwo', '1')]),
    Clips(bad, [Clip(bad, ((bad, bad),), alt=bad)]),
    Figure(bad, chart),
  ]
  sections = [page.Section(bad, blocks)]
  for text in (page.to_html(bad, sections), page.to_markdown(bad, sections)):
    assert '\x1b' not in text and '\u202e' not in text
    assert 'line two' in text and '\\nline' not in text
