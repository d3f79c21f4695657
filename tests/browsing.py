"""A real browser for the tests of pages."""

import contextlib
import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

PATIENCE = 180_000  # milliseconds, for a machine that is busy


@pytest.fixture(scope='module')
def browser():
  """Chromium, without a window."""
  with chromium() as browser:
    yield browser


@contextlib.contextmanager
def chromium(*options: str):
  """As `browser`, with options of its own."""
  names = ('chromium', 'chromium-browser', 'google-chrome')
  found = next(filter(None, map(shutil.which, names)), None)
  if not found:
    missing = 'no Chromium: apt-get install chromium'
    if os.environ.get('CI'):
      pytest.fail(missing, pytrace=False)
    pytest.skip(missing)
  options = ('--no-sandbox', '--disable-background-networking', *options)
  with (
    sync_playwright() as playwright,
    playwright.chromium.launch(
      executable_path=found, args=options, timeout=PATIENCE
    ) as browser,
  ):
    yield browser
