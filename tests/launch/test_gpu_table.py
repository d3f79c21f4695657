"""The shell script that fills the GPU's column: its parts and its rows."""

import re
import subprocess

from aec_jax.run.console import table
from launch.benchmarks import command
from launch.jobs import ROOT

SCRIPT = ROOT / 'launch/benchmarks/gpu.sh'


def test_printed_tables_become_rows():
  text = SCRIPT.read_text(encoding='utf-8')
  function = re.search(r'^rows\(\) \{.*?^\}', text, re.M | re.S)[0]
  printed = table([('steps', 'steps/s', 'of it'), ('level 3', '1,849', '12%')])
  found = subprocess.run(
    ['bash', '-c', f'{function}\nrows'],
    input=f'on a GPU\n{printed}\n\nand more\n',
    capture_output=True, text=True, check=True,
  )  # fmt: skip
  assert found.stdout == '| steps | level 3 | steps/s 1,849; of it 12% |\n'


def test_each_row_that_is_to_be_measured_has_a_part():
  text = SCRIPT.read_text(encoding='utf-8')
  parts = set(re.findall(r"^  (?:part|train) ('[^']+'|\w+)", text, re.M))
  parts = {part.strip("'") for part in parts}
  assert subprocess.run(['bash', '-n', SCRIPT], check=False).returncode == 0
  speed = (ROOT / 'docs/speed.md').read_text(encoding='utf-8')
  (header,) = (x for x in speed.splitlines() if 'part of `gpu.sh`' in x)
  rows = speed.partition(header)[2].lstrip('\n').partition('\n\n')[0]
  named = [row.split('|')[-2] for row in rows.splitlines()[1:]]
  named = [set(re.findall(r'`([^`]+)`', cell)) for cell in named]
  assert all(cell and cell <= parts for cell in named), named
  assert parts == set().union(*named)


def test_what_is_not_to_be_left_out_has_time():
  text = SCRIPT.read_text(encoding='utf-8')
  whole = int(re.search(r'left=\$\(\((\d+) - SECONDS', text)[1])
  first, _, rest = text.partition('  # What follows may be left out.\n')
  shares = [
    re.findall(r"^  (?:part|train) (?:'[^']+'|\w+) (\d+) ", some, re.M)
    for some in (first, rest)
  ]
  assert len(shares[0]) == 8 and len(shares[1]) == 5
  assert sum(map(int, shares[0])) <= whole < 9 * 60


def test_a_command_s_steps_are_timed_by_what_it_says(capsys):
  said = [
    '19:10 stage 2 of 4 · training · compiling …\n',
    '19:11 stage 2 of 4 · training · step 500/10,000 · loss 0.6\n',
    '19:12 stage 2 of 4 · training · step 1,000 · validation mAP 0.1\n',
    '19:13 stage 2 of 4 · training · step 10,000/10,000 · 9 examples/s\n',
  ]
  (first, one), (last, other) = command.stepped(said)
  assert (one, other) == (500, 10_000) and first <= last
  assert capsys.readouterr().err == ''.join(said)
