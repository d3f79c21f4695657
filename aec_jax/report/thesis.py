"""The thesis's tables of results: which configs are their rows, and p values.

The scores of the rows are the configs' `expected`, as a test checks.
"""

# (row, configs): a run of any of these configs is that row.
ROWS = {
  'Table 10': (
    ('DNN-1', ('audioset_dnn1',)),
    ('DNN-2', ('audioset_dnn2',)),
    ('LSTM', ('audioset_lstm',)),
    ('level-1', ('audioset_level1',)),
    ('level-2', ('audioset_level2',)),
    ('level-3', ('audioset_level3',)),
    ('level-12', ('audioset_level12',)),
    ('level-13', ('audioset_level13',)),
    ('level-23', ('audioset_level23',)),
    ('level-123', ('audioset_level123',)),
  ),
  'Table 12': (
    ('Baseline', ('dcase_baseline',)),
    ('Original VGGish', ('dcase_vggish_original',)),
    ('Balanced First Part', ('dcase_extractor_balanced_first',)),
    ('Balanced Last Part', ('dcase_extractor_balanced_last',)),
    ('Balanced Ensemble', ('dcase_extractor_ensemble_balanced',)),
    ('Unbalanced First Part', ('dcase_extractor_unbalanced_first',)),
    ('Unbalanced Last Part', ('dcase_extractor_unbalanced_last',)),
    ('Unbalanced Ensemble', ('dcase_extractor_ensemble_unbalanced',)),
    ('All Ensemble', ('dcase_extractor_ensemble_all', 'dcase_l1')),
  ),
  'Table 13': (
    ('A: 1 segment', ('dcase_l1', 'dcase_extractor_ensemble_all')),
    ('B: LSTM', ('dcase_lstm',)),
    ('C: 6 segments, attention', ('dcase_l6_plain',)),
    ('D: C + pitch shifting', ('dcase_l6_pitch',)),
    ('E: D + mixup, α 0.1', ('dcase_l6_mixup01',)),
    ('F: D + mixup, α 0.2', ('dcase_l6',)),
    ('G: D + mixup, α 0.4', ('dcase_l6_mixup04',)),
    ('H: D + mixup, α 1.0', ('dcase_l6_mixup10',)),
  ),
  'Table 14': (
    ('level-1', ('dcase_l6_level1',)),
    ('level-2', ('dcase_l6_level2',)),
    ('level-3', ('dcase_l6_level3',)),
    ('level-12', ('dcase_l6_level12',)),
    ('level-13', ('dcase_l6_level13',)),
    ('level-23', ('dcase_l6_level23',)),
    ('level-123', ('dcase_l6',)),
  ),
  'Table 15': (
    ('1', ('dcase_l1_mixup02',)),
    ('2', ('dcase_l2_mixup02',)),
    ('4', ('dcase_l4_mixup02',)),
    ('6', ('dcase_l6',)),
    ('8', ('dcase_l8_mixup02',)),
    ('10', ('dcase_l10_mixup02',)),
    ('all', ('dcase_l_all',)),
  ),
}

# The scores of the rows, by config.
SCORES = {
  'audioset_dnn1': {'mAP': 0.253, 'AUC': 0.934, 'd_prime': 2.133},
  'audioset_dnn2': {'mAP': 0.294, 'AUC': 0.96, 'd_prime': 2.482},
  'audioset_level1': {'mAP': 0.334, 'AUC': 0.957, 'd_prime': 2.422},
  'audioset_level12': {'mAP': 0.338, 'AUC': 0.957, 'd_prime': 2.423},
  'audioset_level123': {'mAP': 0.34, 'AUC': 0.958, 'd_prime': 2.439},
  'audioset_level13': {'mAP': 0.335, 'AUC': 0.959, 'd_prime': 2.457},
  'audioset_level2': {'mAP': 0.346, 'AUC': 0.961, 'd_prime': 2.497},
  'audioset_level23': {'mAP': 0.345, 'AUC': 0.962, 'd_prime': 2.506},
  'audioset_level3': {'mAP': 0.347, 'AUC': 0.963, 'd_prime': 2.52},
  'audioset_lstm': {'mAP': 0.307, 'AUC': 0.953, 'd_prime': 2.367},
  'dcase_baseline': {'MAP@3_public': 0.704},
  'dcase_extractor_balanced_first': {'MAP@3_public': 0.87},
  'dcase_extractor_balanced_last': {'MAP@3_public': 0.864},
  'dcase_extractor_ensemble_all': {'MAP@3_public': 0.903},
  'dcase_extractor_ensemble_balanced': {'MAP@3_public': 0.891},
  'dcase_extractor_ensemble_unbalanced': {'MAP@3_public': 0.892},
  'dcase_extractor_unbalanced_first': {'MAP@3_public': 0.858},
  'dcase_extractor_unbalanced_last': {'MAP@3_public': 0.872},
  'dcase_l1': {'MAP@3_public': 0.903},
  'dcase_l10_mixup02': {'MAP@3_public': 0.932},
  'dcase_l1_mixup02': {'MAP@3_public': 0.917},
  'dcase_l2_mixup02': {'MAP@3_public': 0.919},
  'dcase_l4_mixup02': {'MAP@3_public': 0.932},
  'dcase_l6': {'MAP@3_public': 0.936},
  'dcase_l6_level1': {'MAP@3_public': 0.93},
  'dcase_l6_level12': {'MAP@3_public': 0.935},
  'dcase_l6_level13': {'MAP@3_public': 0.929},
  'dcase_l6_level2': {'MAP@3_public': 0.929},
  'dcase_l6_level23': {'MAP@3_public': 0.928},
  'dcase_l6_level3': {'MAP@3_public': 0.934},
  'dcase_l6_mixup01': {'MAP@3_public': 0.93},
  'dcase_l6_mixup04': {'MAP@3_public': 0.931},
  'dcase_l6_mixup10': {'MAP@3_public': 0.93},
  'dcase_l6_pitch': {'MAP@3_public': 0.93},
  'dcase_l6_plain': {'MAP@3_public': 0.925},
  'dcase_l8_mixup02': {'MAP@3_public': 0.93},
  'dcase_l_all': {'MAP@3_public': 0.932},
  'dcase_lstm': {'MAP@3_public': 0.914},
  'dcase_vggish_original': {'MAP@3_public': 0.606},
}

# One-sided p values as printed, each row from its diagonal on. Table 11 is
# about the last seven rows of Table 10.
P_VALUES = {
  'Table 11': (
    ('0', '0', '3.9e-4', '0.065', '3.3e-15', '2.2e-7'),
    ('0.21', '4.8e-10', '1.1e-16', '0.10', '6.6e-7'),
    ('1.2e-11', '1.0e-15', '0.018', '1.1e-7'),
    ('0.019', '4.0e-8', '0.041'),
    ('4.0e-13', '7.0e-5'),
    ('1.1e-4',),
  ),
  'Table 14': (
    ('0.360', '0.108', '0.165', '0.120', '0.323', '0.050'),
    ('0.204', '0.286', '0.238', '0.258', '0.048'),
    ('0.400', '0.428', '0.066', '0.169'),
    ('0.475', '0.098', '0.159'),
    ('0.019', '0.101'),
    ('0.012',),
  ),
  'Table 15': (
    ('0.083', '0.046', '0.037', '0.208', '0.144', '0.008'),
    ('0.114', '0.121', '0.495', '0.476', '0.036'),
    ('0.480', '0.061', '0.087', '0.485'),
    ('0.044', '0.043', '0.494'),
    ('0.466', '0.087'),
    ('0.025',),
  ),
}

# Of the 16 classes of Figures 36 and 37, which were drawn at random, the text
# names these.
NAMED_CLASSES = (
  'Psychedelic rock',
  'Flamenco',
  'Electric guitar',
  'Crushing',
  'Timpani',
  'Rock and roll',
  'Thunk',
)

# Table 16, of `dcase_l6`: the AP@3 of the classes that are taken for others in
# more than 5 % of their clips, and for which, by FSDKaggle2018's names.
TABLE_16 = {
  'Squeak': (0.391, ('Oboe', 'Fart')),
  'Scissors': (0.720, ('Tearing', 'Finger_snapping')),
  'Writing': (0.793, ('Fireworks', 'Tearing')),
  'Fireworks': (0.807, ('Gunshot_or_gunfire', 'Tearing')),
  'Hi-hat': (0.842, ('Tambourine', 'Snare_drum')),
  'Glockenspiel': (0.845, ('Chime',)),
  'Chime': (0.856, ('Glockenspiel',)),
  'Microwave_oven': (0.856, ('Drawer_open_or_close',)),
  'Snare_drum': (0.863, ('Hi-hat', 'Gong')),
  'Keys_jangling': (0.875, ('Shatter',)),
  'Drawer_open_or_close': (0.896, ('Knock',)),
  'Trumpet': (0.905, ('Harmonica',)),
  'Saxophone': (0.906, ('Clarinet',)),
  'Shatter': (0.908, ('Tambourine', 'Keys_jangling')),
  'Tambourine': (0.921, ('Hi-hat',)),
  'Harmonica': (0.934, ('Clarinet',)),
  'Cello': (0.935, ('Violin_or_fiddle', 'Double_bass')),
  'Flute': (0.945, ('Clarinet',)),
  'Cough': (0.961, ('Burping_or_eructation',)),
}


def p_value(table: str, a: int, b: int) -> str:
  """The printed p value of rows a and b, in any order."""
  a, b = sorted((a, b))
  return P_VALUES[table][a][b - a - 1]
