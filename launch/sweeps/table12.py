"""Thesis Table 12. DCASE: the baseline, and extractors alone and together."""

EXPERIMENTS = (
  'dcase_baseline',
  'dcase_vggish_original',
  'dcase_extractor_balanced_first',
  'dcase_extractor_balanced_last',
  'dcase_extractor_ensemble_balanced',
  'dcase_extractor_unbalanced_first',
  'dcase_extractor_unbalanced_last',
  'dcase_extractor_ensemble_unbalanced',
  'dcase_extractor_ensemble_all',
)
