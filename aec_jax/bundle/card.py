"""The model card of a bundle: its README.md.

It begins with the header that Hugging Face's hub reads, so that the folder can
be pushed there as it is.
"""

import json
import math

from aec_jax.bundle import decisions
from aec_jax.input.folds import fold_of_name
from aec_jax.run import console
from aec_jax.run.text import markdown

# Classes whose thresholds are in the card; of more they are in bundle.json.
_LISTED = 60


def card(info: dict) -> str:
  """The model card, in Markdown."""
  released = info['extractor']['model'] == 'released'
  title = f'# {markdown(info["experiment"])}'
  parts = [_header(info), title, _what(info), _data(info), _scores(info)]
  if info.get('decisions'):
    parts.append(_decisions(info))
  return '\n\n'.join([*parts, _use(released)]) + _limits(info, released)


def caveats(info: dict) -> list[str]:
  """What is to be known of a bundle before it is held against others."""
  started = info.get('config', {}).get('init_from', '')
  config = {'extractor': info['extractor'], 'init_from': started}
  found = console.caveats(
    {'synthetic': info.get('synthetic'), 'config': config}
  )
  scored = info.get('config', {}).get('test_shifts', 1)
  if (now := info.get('test_shifts', 1)) != scored:
    found.append(
      f'its scores and thresholds are of sounds cut at {_shifts(scored)}, and'
      f' it tags at {_shifts(now)}'
    )
  return found


def _shifts(count) -> str:
  return f'{count} shift{"s" if count > 1 else ""}'


def _header(info) -> str:
  """YAML, in which JSON's texts are texts, too.

  Without the scores of a synthetic set, which a hub would rank by.
  """
  lines = [
    '---', 'license: other', 'license_name: that-of-the-training-recordings',
    'library_name: aec_jax', 'pipeline_tag: audio-classification',
    'tags:', '- audio', '- audio-event-classification', '- jax',
    *([] if info['synthetic'] else _model_index(info)), '---',
  ]  # fmt: skip
  return '\n'.join(lines)


def _model_index(info) -> list[str]:
  """The header's lines of scores."""
  metrics = [
    f'    - type: {json.dumps(key)}\n      value: {value:.4f}'
    for key, value in info['metrics'].items()
    if isinstance(value, float) and math.isfinite(value)
  ]
  data = json.dumps(info['config']['dataset'])
  return [
    'model-index:', f'- name: {json.dumps(info["experiment"])}', '  results:',
    '  - task:\n      type: audio-classification',
    f'    dataset:\n      type: {data}\n      name: {data}',
    '    metrics:', *metrics,
  ] if metrics else []  # fmt: skip


def _decisions(info) -> str:
  """Calibration, and the thresholds of the best F1."""
  found = info['decisions']
  error, own = found['ECE'], found['calibration']['own']
  point = found['points'][decisions.BEST]
  lines = [
    '## Decisions',
    '',
    f'`--decide` calibrates probabilities by {found["clips"]:,} scored clips'
    f' ({sum(own):,} of {len(own):,} classes by themselves, the others'
    f' together) and holds them against thresholds. Expected calibration error,'
    f' the mean over the classes: {error["before"]:.4f} before,'
    f' {error["after"]:.4f} after, each clip calibrated by others. Thresholds'
    ' are chosen on the clips that they are told of, and a bundle of several'
    ' folds takes the mean over more members than scored each of them.',
  ]
  if len(info['classes']) <= _LISTED:
    lines += [
      '',
      'Thresholds of the best F1, and what they gave, with 95 % intervals:',
      '',
      f'| class | {" | ".join(decisions.COLUMNS)} |',
      '|---' * (1 + len(decisions.COLUMNS)) + '|',
    ]
    for k, name in enumerate(info['classes']):
      cells = [_with_interval(point, key, k) for key in decisions.COLUMNS]
      lines.append(f'| {markdown(name)} | {" | ".join(cells)} |')
  return '\n'.join(lines)


def _with_interval(point, key, k) -> str:
  value, interval = point[key][k], point[f'{key} interval'][k]
  if value is None:
    return '—'
  if interval is None:
    return f'{value:.2f}'
  return f'{value:.2f} ({interval[0]:.2f}–{interval[1]:.2f})'


def about(info: dict) -> str:
  """Of the model card what the model is, its data, scores and limits."""
  released = info['extractor']['model'] == 'released'
  parts = [_kind(info), _data(info), _scores(info)]
  return '\n\n'.join(parts) + _limits(info, released)


def _what(info):
  multi = info['objective'] == 'multi_label'
  many = 'independent probabilities' if multi else (
    'probabilities that add up to 1'
  )  # fmt: skip
  return (
    f'{_kind(info)}\n\n{len(info["classes"])} classes, {many}. The labels, the'
    ' settings of the front end and the whole config are in `bundle.json`,'
    ' the parameters in `weights.npz`.'
  )


def _kind(info) -> str:
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
    kind += f' {_extractors(info) or "embeddings of the released VGGish"}'
    if started := info['config'].get('init_from'):
      kind += f', started from {markdown(started)}'
    elif info['extractor'].get('init') == 'random':
      kind += ', trained from random weights'
  if (count := info.get('test_shifts', 1)) > 1:
    kind += f'; a sound is cut at {_shifts(count)} and gets their mean'
  return f'{kind}.'


def _extractors(info) -> str:
  """Their names, without the folds of each."""
  every = info['extractors']
  folds = len({fold_of_name(name) for name in every} - {''})
  names = dict.fromkeys(
    name.rpartition('/')[0] if fold_of_name(name) else name for name in every
  )
  words = ', '.join(map(markdown, names))
  return f'{words} ({folds} folds of each)' if folds else words


def _data(info):
  config = info['config']
  name = config['dataset']
  if name == 'folder':  # whose path is nobody's business
    name = 'A folder of recordings'
  if name == 'audioset':
    name = 'AudioSet'
    if splits := config.get('train_splits'):  # format 1 need not tell them
      name += f', {" + ".join(splits)}'
  name = markdown(name)
  if info['synthetic']:
    name += ', but a synthetic set of its form: it knows no real sounds'
  return (
    f'## Data\n\n{name}: {info["n_train_examples"]:,} clips to train on,'
    f' {info["n_examples"]:,} scored; fingerprint'
    f' {markdown(info["dataset_fingerprint"])}.'
  )


def _scores(info):
  expected = info['expected']  # the thesis's, of its own rows alone
  lines = ['## Scores', '']
  lines += (
    ['| | here | thesis |', '|---|---|---|']
    if expected
    else ['| | here |', '|---|---|']
  )
  for name, value in info['metrics'].items():
    if isinstance(value, float):
      line = f'| {markdown(name)} | {value:.4f} |'
      if expected:
        theirs = expected.get(name)
        line += f' {theirs:.3f} |' if theirs is not None else ' |'
      lines.append(line)
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
  made = ', '.join(markdown(f'{k} {v}') for k, v in info['versions'].items())
  body = '\n'.join(f'- {line}' for line in lines)
  return f'\n\n## Limits\n\n{body}\n\nMade with {made}.\n'
