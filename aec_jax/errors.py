"""The one exception for what a user can mend."""


class UserError(Exception):
  """Bad input: one line that says what is wrong, where, and what to do.

  The commands print it on stderr without a traceback and exit with status 2.
  """
