"""The templates of pages: markup lies in them, and all text is escaped.

So are its control characters, line ends among them.
"""

import functools

import jinja2

from aec_jax.run.text import printable


def render(package: str, name: str, **values: object) -> str:
  """A template that lies in a package, filled in."""
  return _environment(package).get_template(name).render(**values)


@functools.cache
def _environment(package: str) -> jinja2.Environment:
  return jinja2.Environment(
    loader=jinja2.PackageLoader(package, '.'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    finalize=_shown,
  )


def _shown(value: object) -> object:
  """What a template puts in: of text from anywhere what can be shown."""
  return printable(value) if type(value) is str else value  # but of markup
