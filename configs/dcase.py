"""What the DCASE 2018 Task 2 experiments share (thesis §5.2, Tables 12 to 15).

Not an experiment itself: dcase_*.py import it and override a few fields.
"""

from ml_collections import ConfigDict, config_dict

from configs import audioset


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.name = ''
  config.task = 'dcase'
  # The folder of the data set; empty: a synthetic set is made.
  config.data_dir = ''
  # 'fsdkaggle2018', or 'folder' for anybody's own recordings.
  config.dataset = 'fsdkaggle2018'
  # What a file does that is missing, unlisted, unreadable, silent or of
  # another scale: 'skip' counts and lists it, 'error' stops.
  config.on_bad = 'skip'
  # What a member does whose training diverges: 'error' stops, 'skip' leaves it
  # out and names it.
  config.on_diverged = 'error'
  # Names of some classes to use, all when empty.
  config.classes = ()
  config.seed = 0
  config.synthetic = ConfigDict({'clips_per_class': 12, 'test_per_class': 4})
  # The values of the fields that are None here, by the size of the data set.
  config.when_full = _full()
  config.when_synthetic = _synthetic()

  # Which extractors; 'original' is not fine-tuned.
  config.extractors = (
    'balanced_first',
    'balanced_last',
    'unbalanced_first',
    'unbalanced_last',
  )
  config.extractor = extractor()

  # Segments of a piece, L; several train an ensemble each. 0 leaves clips
  # whole, of different lengths.
  config.segments = (6,)
  # Clips of each class with pitch-shifted copies; 0 makes none.
  config.pitch_to = 0
  config.mixup_alpha = 0.0
  # Of clips that have no fold of their own.
  config.folds = 5

  config.model = audioset.attention((1, 2, 3))
  config.model.hidden = config_dict.placeholder(tuple)
  # XLA:CPU multiplies stacks of matrices fastest in float32.
  config.model.dtype = 'float32'
  config.loss = 'categorical'
  config.metric = 'MAP@3'
  config.sampling = 'balanced'
  config.batch_size = config_dict.placeholder(int)
  config.max_steps = config_dict.placeholder(int)
  config.eval_every = config_dict.placeholder(int)
  config.patience = config_dict.placeholder(int)
  config.average = 0.0
  config.optimizer = adam(1e-3)

  config.steps_per_dispatch = 10
  config.checkpoint_every = 500
  # A row's MAP@3 on the public leaderboard.
  config.expected = ConfigDict()
  return config


def extractor() -> ConfigDict:
  """§5.2.2. Steps, patience and learning rate are ours: the thesis names none.

  A batch is 41 clips, with all their examples.
  """
  config = ConfigDict()
  config.model = 'vggish'
  # A file of python -m aec_jax.models.convert, or 'random'.
  config.init = 'random'
  config.width = config_dict.placeholder(float)
  config.hidden = 100
  config.embedding_activation = 'linear'
  config.batch_norm = config_dict.placeholder(bool)
  config.dtype = 'float32'
  config.batch_size = 41
  config.max_steps = config_dict.placeholder(int)
  config.eval_every = config_dict.placeholder(int)
  config.patience = config_dict.placeholder(int)
  config.optimizer = adam(config_dict.placeholder(float))
  # Steps in which the learning rate falls to 0; 0: it is constant.
  config.cosine_steps = 0
  # Past the thesis; see `aec_jax.input.augment`. Masks are in frames of 10 ms
  # and in bands, at most, of 96 and 64.
  config.augment = ConfigDict()
  config.augment.time_shift = False
  config.augment.mixup_alpha = 0.0
  config.augment.mask_frames = 0
  config.augment.mask_bands = 0
  config.examples_on = 'device'
  # More of them run in a loop, in which XLA:CPU's convolutions are slow.
  config.steps_per_dispatch = 1
  config.checkpoint_every = 200
  return config


def adam(learning_rate) -> ConfigDict:
  optimizer = audioset.get_config().optimizer
  optimizer.learning_rate = learning_rate
  return optimizer


def _full() -> ConfigDict:
  """For FSDKaggle2018 and weights to fine-tune."""
  return ConfigDict(
    {
      'pitch_to': 600,
      'batch_size': 500,
      'max_steps': 10_000,
      'eval_every': 200,
      'patience': 10,
      'model/hidden': (600, 600, 600),
      'extractor/width': 1.0,
      'extractor/batch_norm': False,
      'extractor/max_steps': 10_000,
      'extractor/eval_every': 200,
      'extractor/patience': 10,
      'extractor/optimizer/learning_rate': 1e-4,
    }
  )


def _synthetic() -> ConfigDict:
  """Small enough for minutes on two cores."""
  return ConfigDict(
    {
      'pitch_to': 24,
      'batch_size': 100,
      'max_steps': 600,
      'eval_every': 50,
      'patience': 4,
      'model/hidden': (100, 100, 100),
      'extractor/width': 0.125,
      'extractor/batch_norm': True,
      'extractor/max_steps': 200,
      'extractor/eval_every': 20,
      'extractor/patience': 4,
      'extractor/optimizer/learning_rate': 1e-3,
    }
  )


def from_scratch(config: ConfigDict) -> None:
  """For some hundreds of recordings and no weights to start from."""
  config.when_full = ConfigDict(
    {
      'pitch_to': 120,
      'batch_size': 100,
      'max_steps': 1000,
      'eval_every': 50,
      'patience': 4,
      'model/hidden': (200, 200, 200),
      'extractor/width': 0.125,
      'extractor/batch_norm': True,
      'extractor/max_steps': 200,
      'extractor/eval_every': 20,
      'extractor/patience': 4,
      'extractor/optimizer/learning_rate': 1e-3,
    }
  )


def lstm(config: ConfigDict) -> None:
  """Row B of Table 13: Table 6's layer, on whole clips."""
  config.segments = (0,)
  config.model = audioset.lstm()
  config.model.hidden = config_dict.placeholder(tuple)
  config.model.dtype = 'float32'
  for sizes in (config.when_full, config.when_synthetic):
    sizes['model/hidden'] = sizes['model/hidden'][:1]


def baseline(config: ConfigDict) -> None:
  """The CNN of the challenge's organisers, and its learning rate."""
  config.extractor.model = 'baseline'
  config.extractor.optimizer.learning_rate = 1e-4


def pitch_and_mixup(config: ConfigDict, alpha: float) -> None:
  """Rows D (α = 0) to H of Table 13."""
  config.pitch_to = config_dict.placeholder(int)
  config.mixup_alpha = alpha


def expected(map_at_3: float) -> ConfigDict:
  """A row of Tables 12 to 15: the public leaderboard's."""
  return ConfigDict({'MAP@3_public': map_at_3})
