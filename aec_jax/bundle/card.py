"""The model card of a bundle: its README.md."""


def card(info: dict) -> str:
  """The model card, in Markdown."""
  released = info['extractor']['model'] == 'released'
  title = f'# {info["experiment"]}'
  return '\n\n'.join(
    (title, _what(info), _data(info), _scores(info), _use(released))
  ) + _limits(info, released)  # fmt: skip


def _what(info):
  if not info['ensembles']:
    kind = 'The convolutional network of the challenge, on log-mel examples'
  else:
    front = info['front_end']
    seconds = front['step'] * front['hop'] / front['sample_rate']
    members = sum(len(e['extractors']) for e in info['ensembles'])
    lengths = ', '.join(str(e['length']) for e in info['ensembles'])
    kind = (
      f'{members} × `{info["model"]["name"]}`, on pieces of {lengths}'
      f' segments of {seconds:.2f} s, over'
    )
    names = ', '.join(f'`{name}`' for name in info['extractors'])
    kind += f' {names or "embeddings of the released VGGish"}'
    if info['extractor'].get('init') == 'random':
      kind += ', trained from random weights'
  multi = info['objective'] == 'multi_label'
  many = 'independent probabilities' if multi else (
    'probabilities that add up to 1'
  )  # fmt: skip
  return (
    f'{kind}.\n\n{len(info["classes"])} classes, {many}. The labels, the'
    ' settings of the front end and the whole config are in `bundle.json`,'
    ' the parameters in `weights.npz`.'
  )


def _data(info):
  config = info['config']
  name = config['dataset']
  if name == 'audioset':
    name = f'AudioSet, {" + ".join(config["train_splits"])}'
  if info['synthetic']:
    name += ', but a synthetic set of its form: it knows no real sounds'
  return (
    f'## Data\n\n{name}: {info["n_train_examples"]:,} clips to train on,'
    f' {info["n_examples"]:,} scored; fingerprint'
    f' `{info["dataset_fingerprint"]}`.'
  )


def _scores(info):
  lines = ['## Scores', '', '| | here | thesis |', '|---|---|---|']
  for name, value in info['metrics'].items():
    if isinstance(value, float):
      theirs = info['expected'].get(name)
      theirs = f'{theirs:.3f}' if theirs is not None else ''
      lines.append(f'| {name} | {value:.4f} | {theirs} |')
  if info.get('scored_on') == 'out-of-fold':
    lines += ['', (
      'Scored out of fold, each clip by the members that had not seen it. The'
      ' bundle takes the mean over all members, for sounds that none has seen;'
      ' what it says of its own training clips is no score.'
    )]  # fmt: skip
  return '\n'.join(lines)


def _use(released):
  options = ' --vggish=vggish.npz --pca=vggish_pca_params.npz'
  return (
    '## Use\n\n```\npython -m aec_jax.predict --bundle=BUNDLE'
    f'{options if released else ""} SOUND…\n```\n\n```python\n'
    'import aec_jax\n'
    f'tagger = aec_jax.load(BUNDLE{", VGGISH, PCA" if released else ""})\n'
    'tagger.predict(waveform, sample_rate).tags\n```'
  )


def _limits(info, released):
  lines = [
    'It knows its classes alone: every sound gets a probability for each,'
    ' also one that is none of them.',
    'It was trained on clips of at most some tens of seconds; of a longer'
    ' sound it tags piece after piece, and gives their mean.',
  ]
  if released:
    lines.append(
      'AudioSet was labelled by people who heard 10 s clips of web videos; many'
      ' labels are missing or wrong.'
    )
  made = ', '.join(f'{k} {v}' for k, v in info['versions'].items())
  body = '\n'.join(f'- {line}' for line in lines)
  return f'\n\n## Limits\n\n{body}\n\nMade with {made}.\n'
