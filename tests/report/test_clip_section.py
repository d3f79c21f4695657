"""The clips that are shown: which, in which order, and what is said."""

import numpy as np

from aec_jax.report import Shown, charts, clip_section
from aec_jax.report.page import to_html
from aec_jax.report.scored import Scored


def test_hardest_and_surest_clips():
  probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.01, 0.99]])
  targets = np.eye(2, dtype=bool)[[0, 0, 0, 1]]
  scored = Scored(list('wxyz'), targets, probabilities, ['a', 'b'])
  shown = []

  def show(clip_id):
    shown.append(clip_id)
    return Shown(np.eye(3), 'log-mel')

  section = clip_section.clips(scored, True, show)
  hardest, surest = section.blocks[1:]
  assert [clip.name for clip in hardest.clips] == ['y', 'x']
  assert [clip.name for clip in surest.clips] == ['z', 'w']
  assert shown == list('yxzw')
  assert dict(hardest.clips[0].facts) == {
    'labels': 'a', 'guesses': 'b 0.80; a 0.20', 'sureness': '0.2',
  }  # fmt: skip


def section_of(listen):
  """Of two clips of two labels, and one clip in between."""
  targets = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0]], bool)
  probabilities = np.array([[0.1, 0.1, 0.5], [0.1, 0.1, 0.5], [0.9, 0.1, 0.1]])
  scored = Scored(list('xyz'), targets, probabilities, ['a', 'b', 'c'])
  show = lambda clip_id: Shown(np.eye(3), 'log-mel')
  return clip_section.clips(scored, False, show, listen)


def test_the_attention_to_a_clips_labels_stands_beneath_its_picture():
  asked = []

  def listen(clip_ids):
    asked.extend(clip_ids)
    return [
      np.array([[0.5, 1.5, 9], [3, 1, 9], [0, 1, 9]]),
      np.array([[1.0, 9, 9]]),
    ]

  about, hardest, surest = section_of(listen).blocks
  assert asked == ['x', 'z']
  assert 'multiples of even attention' in about.text
  (card,) = hardest.clips
  assert dict(card.facts)['attention'] == (
    'at most 2 × even, in segment 2 of 3'
  )
  assert 'at least 0.5 × even, in segment 3' in card.strip
  assert 'attention to the segments of x' in card.strip
  # From 0 to 2: segments at 1, 2 and 0.5 of it.
  assert 'M0 50V50H1V0H2V75H3V50Z' in card.strip.replace('50.0', '50')
  (card,) = surest.clips
  assert dict(card.facts)['attention'].endswith('in segment 1 of 1')
  page = to_html('Page', [section_of(listen)])
  assert page.count('<svg class="strip"') == 2
  assert page.index('<img') < page.index('<svg class="strip"')


def test_without_attention_or_embeddings_there_are_no_strips():
  for listen, said in ((None, False), (lambda clip_ids: [], True)):
    section = section_of(listen)
    assert ('not in the cache' in section.blocks[0].text) == said
    assert 'class="strip"' not in to_html('Page', [section])
    assert 'attention' not in dict(section.blocks[1].clips[0].facts)


def test_a_strip_of_very_many_segments_has_few_steps():
  values = np.tile([0.0, 3.0], 5000)
  found = charts.strip(values, '<most> & least')
  assert found.count('H') < 2000
  assert '&lt;most&gt; &amp; least' in found
