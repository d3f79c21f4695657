"""The page of one experiment: scores, curves, classes, data, clips, settings.

It is a function of results.json, predictions.npz and a look at single clips.
The sections are made by the modules *_section and *_sections.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from aec_jax import predictions
from aec_jax.bundle import store
from aec_jax.bundle.network import Network
from aec_jax.report import (
  class_sections,
  clip_section,
  confusion_section,
  data_sections,
  decision_section,
  doctor_section,
  ensemble_section,
  hierarchy_section,
  learning_section,
  listening,
  page,
  score_sections,
  summary_section,
)
from aec_jax.report.clip_section import Listen, Shown
from aec_jax.report.listening import Embedded
from aec_jax.report.scored import scored_clips

# Where a work folder's report lies.
PAGE = Path('report/index.html')
TEXT = PAGE.with_suffix('.md')


def write(
  workdir: Path,
  results: Mapping,
  show: Callable[[str], Shown],
  embedded: Callable[[str], Embedded | None] = lambda clip_id: None,
) -> None:
  """Writes the report of a finished experiment.

  Args:
    workdir: its folder, with predictions.npz and the bundle.
    results: as in its results.json.
    show: looks at a scored clip, given its id.
    embedded: what a scored clip is to the classifiers; None where that is not
      at hand.

  Raises:
    UserError: the predictions are not there, a clip cannot be read, or the
      bundle of an attention model is damaged.
  """
  found = predictions.load(workdir)
  scored = scored_clips(found, list(results['per_class']))
  single = score_sections.is_single(results)
  show = functools.cache(show)  # several sections have the same clips
  sections = [
    summary_section.summary(results, scored),
    score_sections.scores(results, results.get('intervals', {})),
    ensemble_section.learned(results),
    learning_section.learning(results),
    hierarchy_section.by_ontology(results),
    class_sections.classes(results, scored),
    class_sections.curves(results, scored),
    *([confusion_section.confusions(results, scored, show)] * single),
    decision_section.decisions(results),
    data_sections.data(results),
    clip_section.clips(
      scored, single, show, _listen(workdir, results, embedded)
    ),
    doctor_section.suspects(results, show),
    data_sections.skipped(results),
    data_sections.settings(results),
  ]
  path = Path(workdir) / PAGE
  page.write(path, f'Experiment {results["experiment"]}', sections)
  logging.info('report: %s', path)


def _listen(workdir, results, embedded) -> Listen | None:
  """What says where an experiment's models listen; None without attention."""
  model = results['config'].get('model', {})
  if not results.get('ensembles') or model.get('name') != 'attention':
    return None

  def listen(clip_ids: Sequence[str]) -> list[np.ndarray]:
    clips = [clip for i in clip_ids if (clip := embedded(i)) is not None]
    if len(clips) < len(clip_ids):
      return []
    stored = store.read(workdir / store.FOLDER, hears=False)
    network = Network(stored.info, [], stored.ensembles)
    return listening.attention(network, clips)

  return listen
