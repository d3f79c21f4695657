"""Ctrl-C while a command's modules are being imported, which takes seconds.

Python's own exception would come up through others' modules, of which some end
in a crash then and others lose it. Nothing is under way yet that had to be
undone.
"""

import os
import signal


def end_by_ctrl_c() -> None:
  """Has Ctrl-C end the process at once, in one line and with status 130."""
  # Not where it is ignored, as in a shell's background jobs.
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)


def hear_ctrl_c() -> None:
  """Has Ctrl-C be a `KeyboardInterrupt` again."""
  if signal.getsignal(signal.SIGINT) is _end:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number, _frame) -> None:
  os.write(2, b'stopped by Ctrl-C\n')
  os._exit(128 + number)
