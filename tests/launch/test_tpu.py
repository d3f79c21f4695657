"""Sweeps on a TPU slice, by a stand-in for gcloud."""

import os

GCLOUD = """#!/bin/bash
# A slice that is preempted in its first command and is then gone.
echo "$*" >> {folder}/calls
case "$*" in
  *" describe "*) cat {folder}/state 2>/dev/null || exit 1;;
  *" delete "*) rm {folder}/state;;
  *" create "*) echo READY > {folder}/state;;
  *--command=setup*) ;;
  *" ssh "*)
    if [ ! -e {folder}/preempted ]; then
      touch {folder}/preempted
      echo PREEMPTED > {folder}/state
      exit 255
    fi
    for argument; do command=${{argument#--command=}}; done
    bash -c "$command";;
esac
"""


def test_a_preempted_tpu_slice_is_made_anew(table, tmp_path, monkeypatch):
  gcloud = tmp_path / 'bin' / 'gcloud'
  gcloud.parent.mkdir()
  gcloud.write_text(GCLOUD.format(folder=tmp_path))
  gcloud.chmod(0o755)
  monkeypatch.setenv('PATH', f'{gcloud.parent}:{os.environ["PATH"]}')
  options = (
      '--executor=tpu', '--tpu=slice', '--zone=here',
      '--tpu_create=--accelerator-type=v5litepod-16 --spot',
      '--tpu_setup=setup disks',
  )  # fmt: skip
  assert table(*options) == 0
  calls = (tmp_path / 'calls').read_text().splitlines()
  verbs = [line.split()[3] for line in calls]
  create, run = ['create', 'ssh'], ['ssh']
  assert verbs == [
      'describe', *create, *run,  # there was none; preempted
      'describe', 'delete', *create, *run,
      'describe', *run,  # the second experiment
  ]  # fmt: skip
  assert all('slice --zone=here' in line for line in calls)
  assert (
    'tpu-vm create slice --zone=here --accelerator-type=v5litepod-16'
    in (calls[1])
  )
  assert '--worker=all' in calls[-1] and '--coordinator=auto' in calls[-1]
  assert table.starts('audioset_dnn1') == 1  # the first never began
