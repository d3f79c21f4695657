"""The page of one experiment: scores, curves, classes, data, clips, settings.

It is a function of results.json, predictions.npz and a look at single clips.
The sections are made by the modules *_section and *_sections.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from absl import logging

from aec_jax import predictions
from aec_jax.report import (
  class_sections,
  clip_section,
  confusion_section,
  data_sections,
  decision_section,
  learning_section,
  page,
  score_sections,
  summary_section,
)
from aec_jax.report.clip_section import Shown
from aec_jax.report.scored import scored_clips

# Where a work folder's report lies.
PAGE = Path('report/index.html')


def write(
  workdir: Path, results: Mapping, show: Callable[[str], Shown]
) -> None:
  """Writes the report of a finished experiment.

  Args:
    workdir: its folder, with predictions.npz.
    results: as in its results.json.
    show: looks at a scored clip, given its id.

  Raises:
    UserError: the predictions are not there, or a clip cannot be read.
  """
  found = predictions.load(workdir)
  scored = scored_clips(found, list(results['per_class']))
  single = 'AP@3' in next(iter(results['per_class'].values()))
  sections = [
    summary_section.summary(results, scored),
    score_sections.scores(results, results.get('intervals', {})),
    learning_section.learning(results),
    class_sections.classes(results, scored),
    class_sections.curves(results, scored),
    *([confusion_section.confusions(results, scored, show)] * single),
    decision_section.decisions(results),
    data_sections.data(results),
    clip_section.clips(scored, single, show),
    data_sections.skipped(results),
    data_sections.settings(results),
  ]
  path = Path(workdir) / PAGE
  page.write(path, f'Experiment {results["experiment"]}', sections)
  logging.info('report: %s', path)
