"""Thesis Table 13. DCASE: rows A to H."""

EXPERIMENTS = (
  'dcase_l1',
  'dcase_lstm',
  'dcase_l6_plain',
  'dcase_l6_pitch',
  'dcase_l6_mixup01',
  'dcase_l6',
  'dcase_l6_mixup04',
  'dcase_l6_mixup10',
)
