"""Thesis Table 14. DCASE: model F with each set of levels."""

EXPERIMENTS = (
  'dcase_l6_level1',
  'dcase_l6_level2',
  'dcase_l6_level3',
  'dcase_l6_level12',
  'dcase_l6_level13',
  'dcase_l6_level23',
  'dcase_l6',
)
