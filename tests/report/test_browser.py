"""The pages in a real browser, opened from disk."""

import finished_runs
import pytest
from browsing import PATIENCE
from browsing import browser as browser  # a fixture

from aec_jax import compare, report

WIDTHS = (400, 1280)
# The contrast of each text with what is behind it (WCAG 2.2); colours are read
# off a canvas, which knows all their notations.
CONTRASTS = """() => {
  const pen = new OffscreenCanvas(1, 1).getContext(
    '2d', {willReadFrequently: true});
  const rgba = colour => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return Array.from(pen.getImageData(0, 0, 1, 1).data);
  };
  const over = (top, below) => [0, 1, 2].map(
    i => (top[i] * top[3] + below[i] * (255 - top[3])) / 255);
  const behind = node => node
    ? over(rgba(getComputedStyle(node).backgroundColor),
           behind(node.parentElement))
    : [255, 255, 255];
  const light = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(
      v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  document.querySelectorAll('details').forEach(d => { d.open = true; });
  const out = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some(
      c => c.nodeType === Node.TEXT_NODE && c.data.trim());
    if (!own) continue;
    const style = getComputedStyle(node), back = behind(node);
    const front = over(rgba(node.closest('svg') ? style.fill : style.color),
                       back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    out.push([(a + 0.05) / (b + 0.05), node.textContent]);
  }
  return out;
}"""


@pytest.fixture(scope='module')
def pages(tmp_path_factory):
  """Both kinds of report, and a comparison, by name."""
  root = tmp_path_factory.mktemp('runs')
  for make in (finished_runs.audioset_run, finished_runs.dcase_run):
    results = make(root / make.__name__)
    report.write(root / make.__name__, results, finished_runs.show)
  finished_runs.audioset_run(root / 'level1', 'audioset_level1', seed=1)
  folders = [root / n for n in ('audioset_run', 'dcase_run', 'level1')]
  compare.compare(root / 'compare.html', folders)
  return {
    'audioset': root / 'audioset_run/report/index.html',
    'dcase': root / 'dcase_run/report/index.html',
    'compare': root / 'compare.html',
  }


def opened(browser, path, width=400, scheme='light'):
  """The page in a tab, the requests that it made and what it complained of."""
  size = {'width': width, 'height': 800}
  tab = browser.new_context(viewport=size, color_scheme=scheme).new_page()
  tab.set_default_timeout(PATIENCE)
  requests, complaints = [], []
  tab.on('request', lambda request: requests.append(request.url))
  tab.on('console', lambda message: complaints.append(message.text))
  tab.on('pageerror', lambda error: complaints.append(str(error)))
  tab.goto(path.as_uri(), wait_until='load')
  return tab, requests, complaints


@pytest.mark.parametrize('name', ['audioset', 'dcase', 'compare'])
def test_it_fetches_nothing_complains_of_nothing_and_fits(browser, pages, name):
  for width in WIDTHS:
    tab, requests, complaints = opened(browser, pages[name], width)
    tab.evaluate(
      'document.querySelectorAll("details").forEach(d => d.open = 1)'
    )
    fetched = [url for url in requests if not url.startswith('data:')]
    assert fetched == [pages[name].as_uri()]
    assert complaints == []
    wide, room = tab.evaluate(
      '[document.documentElement.scrollWidth, innerWidth]'
    )
    assert wide <= room
    tab.context.close()


@pytest.mark.parametrize('name', ['audioset', 'dcase', 'compare'])
def test_its_text_has_contrast_in_both_schemes(browser, pages, name):
  backgrounds = set()
  for scheme in ('light', 'dark'):
    tab, _, _ = opened(browser, pages[name], scheme=scheme)
    found = tab.evaluate(CONTRASTS)
    assert len(found) > 50
    assert [entry for entry in found if entry[0] < 4.5] == []
    backgrounds.add(
      tab.evaluate('getComputedStyle(document.body).backgroundColor')
    )
    tab.context.close()
  assert len(backgrounds) == 2


@pytest.mark.parametrize('name', ['audioset', 'dcase', 'compare'])
def test_it_says_what_it_shows(browser, pages, name):
  tab, _, _ = opened(browser, pages[name])
  assert tab.title() and tab.locator('h1').count() == 1
  assert tab.locator('html[lang=en]').count() == 1
  tables = tab.locator('table').count()
  assert tables and tab.locator('table > caption').count() == tables
  assert tab.locator('tbody tr > th[scope=row]').count() > 10
  bare = 'img:not([alt]), img[alt=""], svg:not([aria-label]):not([aria-hidden])'
  assert tab.locator(bare).count() == 0
  for link in tab.locator('nav a').all():
    assert tab.locator(link.get_attribute('href')).count() == 1
    assert link.bounding_box()['height'] >= 40  # of a fingertip
  small = tab.evaluate(
    """Array.from(document.querySelectorAll('.chart text'), text =>
    text.getBoundingClientRect().height).filter(height => height < 11)"""
  )
  assert small == []
  tab.context.close()


def test_pictures_and_sounds_can_be_decoded(browser, pages):
  tab, _, _ = opened(browser, pages['dcase'])
  widths = tab.evaluate('Array.from(document.images, i => i.naturalWidth)')
  assert widths == [96] * 12
  tab.wait_for_function(
    """Array.from(document.querySelectorAll('audio[preload=metadata]')).every(
    sound => sound.duration > 0.4 && sound.duration < 0.8)""",
  )
  assert tab.locator('audio[preload=metadata]').count() == 12
  tab.context.close()
