"""The latest part of a history: what may be looked at without the rest of it.

A history is cut at a revision through which every way leads from the later ones to the
earlier ones.  Whatever concerns only the later ones has the same answer with and without
what lies behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Parents = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Recent:
    """The revisions that are later than ``cut``, which is None where they are all."""

    revisions: tuple[str, ...]
    heads: tuple[str, ...]
    cut: str | None


def recent(parents: Parents, depth: int, including: Collection[str] = ()) -> Recent | None:
    """Return the latest revisions: those of ``depth`` steps back, and some others, at least.

    ``parents`` says what each revision builds on.  None where that is no history: where it
    goes round in a circle, or where one builds on a revision that is not there.
    """
    children = _count_children(parents)
    if children is None or not parents.keys() >= set(including):
        return None
    heads = tuple(revision for revision, count in children.items() if not count)
    cut, size, asked = None, len(parents), set(including)
    order: list[str] = []
    for revision, steps, is_narrow in _backwards(parents, children, heads):
        if is_narrow and cut is None and steps > depth and not asked:
            cut, size = revision, len(order)
        asked.discard(revision)
        order.append(revision)
    return Recent(tuple(order[:size]), heads, cut) if len(order) == len(parents) else None


def ancestry(parents: Parents, heads: Iterable[str]) -> frozenset[str] | None:
    """Return some revisions and all that they build on; None where one is not known."""
    waiting = list(heads)
    found: set[str] = set()
    while waiting:
        revision = waiting.pop()
        if revision not in parents:
            return None
        if revision not in found:
            found.add(revision)
            waiting += parents[revision]
    return frozenset(found)


def _count_children(parents: Parents) -> dict[str, int] | None:
    children = dict.fromkeys(parents, 0)
    for revisions in parents.values():
        for revision in revisions:
            if revision not in children:
                return None
            children[revision] += 1
    return children


def _backwards(
    parents: Parents, children: dict[str, int], heads: Sequence[str]
) -> Iterator[tuple[str, int, bool]]:
    """Yield each revision behind all that build on it, with its steps from the nearest head.

    It is narrow where everything that was not yielded yet is this one and what it builds on.
    """
    ready, steps = deque(heads), dict.fromkeys(heads, 0)
    begun = 0
    while ready:
        revision = ready.popleft()
        yield revision, steps[revision], not ready and not begun
        for parent in parents[revision]:
            begun += parent not in steps
            steps[parent] = min(steps.get(parent, len(parents)), steps[revision] + 1)
            children[parent] -= 1
            if not children[parent]:
                begun -= 1
                ready.append(parent)
