"""All kinds of bad inputs, and how many of one came out how."""

from collections.abc import Iterator

from tests.bad_inputs.bundles import bundle_cases
from tests.bad_inputs.case import Broken, Case, outcome
from tests.bad_inputs.commands import command_cases
from tests.bad_inputs.configs import config_cases
from tests.bad_inputs.csvs import csv_cases
from tests.bad_inputs.leavings import checkpoint_cases, leavings_cases
from tests.bad_inputs.results import results_cases
from tests.bad_inputs.sounds import wav_cases
from tests.bad_inputs.tfrecords import tfrecord_cases

# Each takes an empty folder and yields its cases.
KINDS = (
  wav_cases, csv_cases, tfrecord_cases, checkpoint_cases, leavings_cases,
  bundle_cases, config_cases, results_cases,
  command_cases,
)  # fmt: skip


def try_all(cases: Iterator[Case]) -> tuple[dict[str, int], list[str]]:
  """How many came out how, and what is wrong, over some cases."""
  counts, wrong = {}, []
  for case in cases:
    try:
      found = outcome(case)
      counts[found] = counts.get(found, 0) + 1
    except Broken as error:
      wrong.append(str(error))
  return counts, wrong
