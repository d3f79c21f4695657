"""Thesis Table 15. DCASE: model F with each length of pieces."""

EXPERIMENTS = (
  'dcase_l1_mixup02',
  'dcase_l2_mixup02',
  'dcase_l4_mixup02',
  'dcase_l6',
  'dcase_l8_mixup02',
  'dcase_l10_mixup02',
  'dcase_l_all',
)
