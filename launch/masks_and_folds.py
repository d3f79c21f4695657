"""Masks of missing labels, and teachers out of fold: what they would bring.

  python -m launch.masks_and_folds teach FIELDS max_steps=400 teach=4
  python -m launch.masks_and_folds three FIELDS max_steps=600

FIELDS: model.hidden=(200,200,200) model.dtype=float32 eval_every=200
batch_size=100. The folder ANIMALS is that of docs/results.md, "Heads". The
second trains ten members side by side: four with the mask (seeds 0 to 3), three
that learn of teachers out of fold (0 to 2), three of all teachers (0 to 2).
"""

import ast
import dataclasses
import json
import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from aec_jax import presets, sources
from aec_jax.input import batches, strata
from aec_jax.input.folds import Member
from aec_jax.objective import OBJECTIVES
from aec_jax.train.classifiers import Classifiers
from aec_jax.train.progress import History


def cpu():
  r = resource.getrusage(resource.RUSAGE_SELF)
  return r.ru_utime + r.ru_stime


jax.config.update('jax_compilation_cache_dir', 'runs/xla')
name = sys.argv[1]
fields = dict(a.split('=', 1) for a in sys.argv[2:])


def val(v):
  try:
    return ast.literal_eval(v)
  except Exception:
    return v


own = {
  k: val(fields.pop(k))
  for k in ('teach', 'learn', 'weight', 'mask')
  if k in fields
}
config = presets.shipped('configs/audioset_bal_level3.py')
config.update_from_flattened_dict(
  {'data_dir': 'ANIMALS', 'keep': 'best', 'holdout': 0.25}
  | {k: val(v) for k, v in fields.items()}
)
config = presets.resolve(config)
source = sources.Released(config, 'runs/cache')
features = source.features(10)
members = [dataclasses.replace(m, watched=False) for m in source.members()]
training = members[0].training
objective = OBJECTIVES['multi_label']
if 'teach' in own:
  K = own['teach']
  lab = features.labels.select(training)
  fold = strata.deal(
    lab.ids, lab.offsets, np.arange(len(training)), K, np.random.default_rng(0)
  )
  members = [
    Member(
      f'fold{k}',
      0,
      training[fold != k],
      training[fold == k],
      members[0].scored,
      False,
    )
    for k in range(K)
  ]
if name == 'three':
  said = np.load('runs/said.npy')
  fold = np.load('runs/fold.npy')
  K = len(said)
  out = (fold == np.arange(K)[:, None])[..., None]
  labels = features.labels.multi_hot().astype(np.float16)
  N = len(labels)
  y = labels[training].astype(np.float32)
  tables = []
  own_ = (said * ~out).sum(0) / (K - 1)
  t = y.copy()
  tot = 0
  for k in range(y.shape[1]):
    neg = np.flatnonzero(y[:, k] == 0)
    n = int(np.ceil(0.02 * len(neg)))
    t[neg[np.argsort(-own_[neg, k])[:n]], k] = np.nan
    tot += n
  print(
    'masked',
    tot,
    'of',
    int((y == 0).sum()),
    '; mean teacher there',
    own_[np.isnan(t)].mean(),
    flush=True,
  )
  for mine in (
    t,
    0.5 * (said * out).sum(0) + 0.5 * y,
    0.5 * said.mean(0) + 0.5 * y,
  ):
    c = labels.copy()
    c[training] = mine
    tables.append(c)

  from aec_jax.datasets.labels import Labels

  p = features.pieces
  size = p.segments.shape[1]
  features = dataclasses.replace(
    features,
    targets=np.concatenate(tables),
    embeddings=np.tile(features.embeddings, (1, 3, 1)),
    pieces=dataclasses.replace(
      p,
      segments=np.concatenate(
        [p.segments + i * features.embeddings.shape[1] for i in range(3)]
      ).astype(p.segments.dtype),
      n_segments=np.tile(p.n_segments, 3),
      clips=np.concatenate([p.clips + i * N for i in range(3)]).astype(
        p.clips.dtype
      ),
      own=np.tile(p.own, (3, 1)),
    ),
    ids=np.tile(features.ids, 3),
    labels=Labels.concatenate([features.labels] * 3),
  )
  m0 = members[0]
  seeds = [0, 1, 2, 3, 0, 1, 2, 0, 1, 2]
  which = [0] * 4 + [1] * 3 + [2] * 3
  members = [
    Member(
      f'v{w}s{q}',
      0,
      training + w * N,
      m0.validation + w * N,
      m0.scored + w * N,
      False,
    )
    for w, q in zip(which, seeds, strict=True)
  ]

  def blend(first, second, weight):
    s = weight.reshape(-1, *[1] * (first.ndim - 1))
    return jnp.where(s == 1, first, s * first + (1 - s) * second)

  batches.blend = blend

  def loss(logits, t):
    there = ~jnp.isnan(t)
    return jnp.mean(
      jnp.where(
        there,
        optax.sigmoid_binary_cross_entropy(logits, jnp.where(there, t, 0)),
        0,
      ),
      -1,
    )

  objective = dataclasses.replace(objective, loss=loss)

  class Proxy:
    def __init__(self, c):
      self.c = c
      self.seed = np.array(seeds, np.int32) - np.arange(
        len(seeds), dtype=np.int32
      )

    def __getattr__(self, k):
      return getattr(self.c, k)

  config = Proxy(config)
system = Classifiers(config, objective, features, members)
print(name, len(members), [len(m.training) for m in members], flush=True)
state = system.create_state()
n = system.most_steps
spans = [
  (i, min(i + n, config.max_steps)) for i in range(0, config.max_steps, n)
]
history = History()
out = []
t0 = cpu()
w0 = time.time()
for (_, b), plan in zip(spans, system.plans(spans), strict=True):
  state, found = system.steps(state, plan)
  loss = np.asarray(found['loss'])
  if b % config.eval_every == 0 or b == config.max_steps:
    s = system.evaluate(state, history)()
    m = s['members']['mAP']
    out.append(
      {
        'step': b,
        'mAP': m,
        'lwlrap': s['members']['lwlrap'],
        'loss': float(loss.mean()),
        'cpu': cpu() - t0,
        'wall': time.time() - w0,
      }
    )
    print(
      name,
      b,
      f'mAP {np.mean(m):.4f} ± {np.std(m, ddof=1):.4f}',
      np.round(m, 4).tolist(),
      f'loss {loss.mean():.5f} cpu {cpu() - t0:.0f} wall {time.time() - w0:.0f}',
      flush=True,
    )
    json.dump(
      {'fields': fields, 'own': own, 'evals': out, 'cpu_all': cpu()},
      open(f'runs/{name}.json', 'w'),
    )
if 'teach' in own:
  said = system.clip_values(
    state.members.variables(), [training] * len(members)
  )
  np.save('runs/said.npy', np.stack(said))
  np.save('runs/fold.npy', fold)
