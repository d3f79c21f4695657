"""AudioSet's balanced set by one recipe: the models of Table 10.

DNN-1 and DNN-2 differ by their data alone, so that here they are one.
"""

EXPERIMENTS = (
  'audioset_bal_dnn',
  'audioset_bal_lstm',
  'audioset_bal_level1',
  'audioset_bal_level2',
  'audioset_bal_level3',
  'audioset_bal_level12',
  'audioset_bal_level13',
  'audioset_bal_level23',
  'audioset_bal_level123',
)
