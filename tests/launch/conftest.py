"""Sweeps whose experiments are a small script instead of training."""

import json
import sys

import pytest

from launch import sweep, watch
from launch.jobs import Run

# Behaves as main does: fails as the file `behaviour` in its folder's parent
# says, or writes results.
EXPERIMENT = """
import json, os, pathlib, signal, sys, time
workdir, config, seed, *more = sys.argv[1:]
workdir = pathlib.Path(workdir)
process = next((x[-1] for x in more if 'process_id' in x), '0')
with open(workdir / f'starts{process}', 'a') as file:
  file.write('x')
first = (workdir / f'starts{process}').stat().st_size == 1
path = workdir.parent / 'behaviour'
behaviour = path.read_text() if path.exists() else ''
if behaviour == 'killed' and first:
  while not (workdir / 'starts0').exists():
    time.sleep(0.01)
  if process == '1' or not more:
    os.kill(os.getpid(), signal.SIGKILL)
  time.sleep(100)
if behaviour == 'slow' and first:
  time.sleep(100)
if behaviour == 'finished':
  sys.exit(0)
if behaviour == 'crash':
  sys.exit(1)
if behaviour == 'refuse':
  sys.exit(2)
if behaviour == 'in use':
  print('error: the folder is in use by another')
  sys.exit(2)
if behaviour == 'mend':
  print('step 1')
  print('error: no such folder')
  sys.exit(2)
for name in (
  'predictions.npz', 'bundle/bundle.json', 'bundle/weights.npz',
  'bundle/README.md', 'report/index.html', 'report/index.md',
):
  (workdir / name).parent.mkdir(exist_ok=True)
  (workdir / name).write_text('x')
(workdir / 'results.json').write_text(json.dumps({
  'experiment': 'one', 'config': json.loads(config),
  'metrics': {'mAP': 0.25 + 0.125 * int(seed), 'classes': 3},
  'best_step': 7,
}))
"""


@pytest.fixture
def table(tmp_path, monkeypatch):
  """A sweep of two experiments; gives a function that runs it."""
  script = tmp_path / 'experiment.py'
  script.write_text(EXPERIMENT)
  listed = tmp_path / 'table.py'
  listed.write_text("EXPERIMENTS = ('audioset_dnn1', 'audioset_lstm')\n")
  pages = []

  def command(run, *more):
    config = watch.config_of(run)
    text = json.dumps(config.to_dict())
    argv = [sys.executable, str(script), str(run.workdir), text]
    return [*argv, str(config.seed), *more]

  def compare(watches, page):
    pages.append([w.run.name for w in watches if w.results])
    return 0

  monkeypatch.setattr(Run, 'command', command)
  monkeypatch.setattr(sweep, 'compare', compare)
  monkeypatch.setattr(sweep, '_LOOK', 0.05)
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')

  def run(*options):
    return sweep.main(
      ['sweep', f'--sweep={listed}', f'--workdir={tmp_path / "runs"}', *options]
    )

  def starts(name, process=0):
    """How often an experiment was started."""
    return len((run.folder / name / f'starts{process}').read_text())

  run.folder, run.pages, run.starts = tmp_path / 'runs', pages, starts
  run.folder.mkdir()
  return run
