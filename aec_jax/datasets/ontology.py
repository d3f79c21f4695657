"""AudioSet's ontology: which classes stand above which.

`ontology.json`, as its site and the repository audioset/ontology have it (J. F.
Gemmeke et al., Audio Set: an ontology and human-labeled dataset for audio
events, 2017): a list of nodes, each with id (a mid), name and child_ids. Not
all nodes are classes, and a node may have several parents.
"""

import dataclasses
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from aec_jax.datasets.labels import Labels, offsets_of
from aec_jax.errors import UserError
from aec_jax.run import cache, files

FILE = 'ontology.json'
_PLACES = ('csv', '')  # of the class list, too


class _Node(NamedTuple):
  name: str
  children: tuple[str, ...]


class _Place(NamedTuple):
  """Where a node stands.

  Attributes:
    depth: nodes on the shortest way to it from a top-level one, with both.
    above: mids of all nodes above it.
    branches: names of the top-level nodes that it is below, or is.
  """

  depth: int
  above: frozenset[str]
  branches: frozenset[str]


@dataclasses.dataclass(frozen=True, eq=False)
class Ontology:
  """What stands above each class of an experiment.

  Attributes:
    above: for each class those that stand above it, ascending.
    depth: (class,) int: 1 of a top-level node; of several ways up, the
      shortest. 0 of a class that the ontology lacks.
    branches: for each class the names of the top-level nodes that it is below,
      or is.
    top: the names of all of these, in the order of the file.
  """

  above: tuple[tuple[int, ...], ...]
  depth: np.ndarray
  branches: tuple[frozenset[str], ...]
  top: tuple[str, ...]

  def fingerprint(self) -> str:
    """A hash of what stands above what."""
    return cache.digest(['above', self.above])

  def passed_up(self, labels: Labels) -> Labels:
    """Labels of clips, and all classes that stand above them."""
    chains = [(k, *above) for k, above in enumerate(self.above)]
    lengths = np.array([len(chain) for chain in chains])
    starts = offsets_of(lengths)[:-1]
    flat = np.array([*itertools.chain.from_iterable(chains)], np.int64)
    counts = lengths[labels.ids]
    within = np.arange(counts.sum()) - np.repeat(
      np.cumsum(counts) - counts, counts
    )
    found = flat[np.repeat(starts[labels.ids], counts) + within]
    # One number for a clip and a class sorts classes and drops repeats.
    rows = np.repeat(labels.rows().astype(np.int64), counts)
    keys = np.unique(rows * labels.classes + found)
    rows, ids = np.divmod(keys, labels.classes)
    per_clip = np.bincount(rows, minlength=len(labels))
    return Labels(ids.astype(np.int16), offsets_of(per_clip), labels.classes)

  def lacking(self, labels: Labels) -> np.ndarray:
    """(clip,) bool, whether a clip has not all classes above its labels."""
    return self.passed_up(labels).counts() > labels.counts()


def of_release(
  data_dir: str, classes: Sequence[tuple[str, str]], needed: str = ''
) -> Ontology | None:
  """The ontology that lies beside a release's class list.

  Args:
    data_dir: the folder of the release.
    classes: the (mid, readable name) of each.
    needed: the field that asks for it, of all classes; '' where it will do to
      have it.

  Returns:
    None where there is none and nothing needs it.

  Raises:
    UserError: it is no ontology; or it is needed, and not there, or without
      one of the classes.
  """
  tried = [os.path.join(data_dir, place, FILE) for place in _PLACES]
  path = next((path for path in tried if os.path.lexists(path)), None)
  if path is None:
    if needed:
      raise UserError(
        f"{needed} asks for AudioSet's ontology, and there is no file"
        f' {" or ".join(tried)}: download {FILE} from the AudioSet site'
      )
    return None
  found = read(path, [mid for mid, _ in classes])
  lacking = np.flatnonzero(found.depth == 0)
  if needed and len(lacking):
    mid, name = classes[lacking[0]]
    raise UserError(
      f'{path} lacks {len(lacking)} of {len(classes)} classes, {name!r} ({mid})'
      f' among them, and {needed} asks for all: are it and the class list of'
      ' one version?'
    )
  return found


def read(path: str, mids: Sequence[str]) -> Ontology:
  """What an ontology says of classes.

  Args:
    path: of ontology.json.
    mids: of the classes; it may lack some.

  Raises:
    UserError: it can't be read or is no ontology: a node without id, name or
      child_ids, an id twice, a child that is no node, or one above itself.
  """
  nodes = _nodes(path)
  places = _places(path, nodes)
  nowhere = _Place(0, frozenset(), frozenset())
  mine = [places.get(mid, nowhere) for mid in mids]
  index = {mid: k for k, mid in enumerate(mids)}
  return Ontology(
    tuple(
      tuple(sorted(index[mid] for mid in place.above if mid in index))
      for place in mine
    ),
    np.array([place.depth for place in mine], int),
    tuple(place.branches for place in mine),
    tuple(nodes[mid].name for mid in nodes if places[mid].depth == 1),
  )


def _nodes(path) -> dict[str, _Node]:
  """The nodes by their mids, in the order of the file."""
  if trouble := files.why_no_file(path):
    raise UserError(f'{path}: {trouble}')
  try:
    with open(path, encoding='utf-8') as file:
      found = json.load(file)
  except OSError as error:
    raise UserError(f'{path}: {error.strerror}') from error
  except (ValueError, RecursionError) as error:
    raise _fault(path, 'it is no JSON') from error
  if not (isinstance(found, list) and found):
    raise _fault(path, 'it is not a list of nodes')
  nodes: dict[str, _Node] = {}
  for number, entry in enumerate(found, 1):
    if not _is_node(entry):
      raise _fault(path, f'node {number} has not id, name and child_ids')
    if entry['id'] in nodes:
      raise _fault(path, f'the id {entry["id"]!r} is there twice')
    nodes[entry['id']] = _Node(entry['name'], tuple(entry['child_ids']))
  return nodes


def _is_node(entry) -> bool:
  return (
    isinstance(entry, dict)
    and all(isinstance(entry.get(k), str) and entry[k] for k in ('id', 'name'))
    and isinstance(entry.get('child_ids'), list)
    and all(isinstance(child, str) for child in entry['child_ids'])
  )


def _places(path, nodes: Mapping[str, _Node]) -> dict[str, _Place]:
  """Where each node stands: those above it come first."""
  parents: dict[str, set[str]] = {mid: set() for mid in nodes}
  for mid, node in nodes.items():
    for child in node.children:
      if child not in nodes:
        raise _fault(path, f'{mid} has the child {child!r}, which is no node')
      parents[child].add(mid)
  waiting = {mid: len(some) for mid, some in parents.items()}
  ready = [mid for mid, count in waiting.items() if not count]
  places: dict[str, _Place] = {}
  while ready:
    mid = ready.pop()
    places[mid] = _place(mid, nodes[mid].name, parents[mid], places)
    for child in set(nodes[mid].children):
      waiting[child] -= 1
      if not waiting[child]:
        ready.append(child)
  if stuck := [mid for mid in nodes if mid not in places]:
    raise _fault(path, f'{stuck[0]} is above itself, or below what is')
  return places


def _place(mid, name, parents, places) -> _Place:
  """Of a node whose parents have theirs."""
  over = [places[parent] for parent in parents]
  if not over:
    return _Place(1, frozenset(), frozenset([name]))
  return _Place(
    1 + min(place.depth for place in over),
    frozenset(parents).union(*(place.above for place in over)),
    frozenset().union(*(place.branches for place in over)),
  )


def _fault(path, what) -> UserError:
  return UserError(
    f"{path} is no ontology of AudioSet's: {what}; download it again, or move"
    ' it away'
  )
