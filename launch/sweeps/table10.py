"""Thesis Table 10. AudioSet: DNN, LSTM and multi-level attention."""

EXPERIMENTS = (
  'audioset_dnn1',
  'audioset_dnn2',
  'audioset_lstm',
  'audioset_level1',
  'audioset_level2',
  'audioset_level3',
  'audioset_level12',
  'audioset_level13',
  'audioset_level23',
  'audioset_level123',
)
