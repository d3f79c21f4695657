"""Devices: what is said of them, and what JAX is told of them."""

import sys

import jax
import pytest
from train_data import released_config

from aec_jax import config_checks
from aec_jax.errors import UserError
from aec_jax.run import devices
from launch.benchmarks import command

FLAG = '--xla_gpu_deterministic_ops=true'


def test_devices_are_named():
  assert devices.described().startswith(f'{jax.device_count()} × cpu (')


@pytest.mark.parametrize(
  ('environment', 'gpus', 'warned'),
  [
    ({}, 2, True),
    ({}, 0, False),
    ({'JAX_PLATFORMS': 'cpu'}, 2, False),
    ({'CUDA_VISIBLE_DEVICES': ''}, 2, False),
    ({'CUDA_VISIBLE_DEVICES': '-1'}, 2, False),
    ({'JAX_PLATFORM_NAME': 'cpu'}, 2, False),
  ],
)
def test_gpus_that_are_not_seen_are_told(
  environment, gpus, warned, tmp_path, monkeypatch
):
  for name in ('JAX_PLATFORMS', 'JAX_PLATFORM_NAME', 'CUDA_VISIBLE_DEVICES'):
    monkeypatch.delenv(name, raising=False)
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  for i in range(gpus):
    folder = tmp_path / f'0000:0{i}:00.0'
    folder.mkdir()
    (folder / 'information').write_text('Model: \t\t NVIDIA H100\nIRQ: 1\n')
  found = devices.overlooked(str(tmp_path))
  assert bool(found) == warned
  if warned:
    assert '2 × NVIDIA H100' in found and 'jax[cuda12]' in found


def test_determinism_is_asked_for_once_beside_other_flags(monkeypatch):
  monkeypatch.setenv('XLA_FLAGS', '--xla_gpu_autotune_level=2')
  with pytest.raises(UserError, match=f'XLA_FLAGS={FLAG}'):
    devices.check_determinism(True, 'gpu')
  for _ in range(2):
    devices.ask_for_determinism()
    devices.check_determinism(True, 'gpu')
    flags = devices.os.environ['XLA_FLAGS']
    assert flags == f'--xla_gpu_autotune_level=2 {FLAG}'


def test_a_processor_is_deterministic_without_a_flag(monkeypatch):
  monkeypatch.delenv('XLA_FLAGS', raising=False)
  devices.check_determinism(True, 'cpu')
  devices.check_determinism(False, 'gpu')
  config_checks.check_config(released_config(deterministic=True))


def test_programs_and_autotuning_are_kept_in_the_cache(tmp_path, monkeypatch):
  monkeypatch.setattr(devices.jax, 'default_backend', lambda: 'gpu')
  monkeypatch.delenv(
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', raising=False
  )
  names = (
    'jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs'
  )  # fmt: skip
  before = [jax.config.values[name] for name in names]
  try:
    jax.config.update(names[0], None)
    devices.keep_programs(tmp_path)
    assert [jax.config.values[name] for name in names] == [str(tmp_path), 0]
    devices.keep_programs(tmp_path / 'other')
    assert jax.config.values[names[0]] == str(tmp_path)
  finally:
    for name, value in zip(names, before, strict=True):
      jax.config.update(name, value)
  # By itself JAX keeps what autotuning found beside the programs.
  kept = jax.config.values['jax_persistent_cache_enable_xla_caches']
  assert kept == 'xla_gpu_per_fusion_autotune_cache_dir'


@pytest.mark.slow  # two whole trainings, by whatever JAX finds here
def test_two_deterministic_trainings_have_the_same_bits(
  audioset_dir, tmp_path, monkeypatch
):
  # Each has programs and autotuning of its own.
  monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR', raising=False)
  found = [
    command.row(
      name,
      tmp_path / name / 'run',
      [
        sys.executable, '-m', 'aec_jax.main', '--config=audioset_level3',
        f'--workdir={tmp_path}/{name}/run', '--config.deterministic=True',
        f'--config.data_dir={audioset_dir}', '--config.max_steps=20',
        '--config.eval_every=20', '--config.batch_size=16',
      ],
    )
    for name in ('one', 'other')
  ]  # fmt: skip
  weights = {cells[-1] for cells in found}
  assert len(weights) == 1
