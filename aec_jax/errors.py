"""The one exception for what a user can mend."""

from collections.abc import Iterable


class UserError(Exception):
  """Bad input: one line that says what is wrong, where, and what to do.

  The commands print it on stderr without a traceback and exit with status 2.
  """


def check_choice(field: str, value: str, choices: Iterable[str]) -> None:
  """Raises `UserError` for a value that is none of the choices."""
  if value not in choices:
    raise UserError(
      f'{field} is {value!r}; it must be one of {", ".join(sorted(choices))}'
    )
