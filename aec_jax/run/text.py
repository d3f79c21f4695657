"""Text from elsewhere, made harmless where it is shown."""

# What a spreadsheet takes for the beginning of a formula.
_FORMULAS = ('=', '+', '-', '@')
_MARKS = {ord(c): f'\\{c}' for c in '\\`*_<>[]|&~$'}


def printable(text: str) -> str:
  """Text on one line: what a terminal would act on or can't show, escaped."""
  return ''.join(
    c if c.isprintable() else c.encode('unicode_escape').decode() for c in text
  )


def cell(text: str) -> str:
  """Text for a cell of a CSV file: one line, and no formula."""
  shown = printable(text)
  return f"'{shown}" if shown.startswith(_FORMULAS) else shown


def markdown(text: str) -> str:
  """Text that Markdown shows as it is, on one line."""
  return printable(text).translate(_MARKS)
