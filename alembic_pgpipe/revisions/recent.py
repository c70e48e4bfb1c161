"""The latest part of a history: what may be looked at without the rest of it.

A history is cut at a revision through which every way leads from the later ones to the
earlier ones.  Whatever concerns only the later ones has the same answer with and without
what lies behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

Parents = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Recent:
    """The revisions that are later than ``cut``, which is None where they are all."""

    revisions: tuple[str, ...]
    heads: tuple[str, ...]
    cut: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """A history from its heads to its bases, each revision behind all that build on it.

    ``steps`` are those from the nearest head.  ``narrow`` are the places at which all that
    is left is one revision and what it builds on; ``first_base`` is the place of the first
    revision that builds on nothing.
    """

    revisions: tuple[str, ...]
    steps: Mapping[str, int]
    heads: tuple[str, ...]
    narrow: tuple[int, ...]
    first_base: int

    def recent(self, depth: int, including: Collection[str] = ()) -> Recent | None:
        """Return the revisions of ``depth`` steps back, and ``including``, at least.

        None where one of those is not known.
        """
        if not self.steps.keys() >= set(including):
            return None
        last = max(map(self.revisions.index, including), default=-1)
        for place in self.narrow:
            if place > last and self.steps[self.revisions[place]] > depth:
                return Recent(self.revisions[:place], self.heads, self.revisions[place])
        return Recent(self.revisions, self.heads, None)

    def stretches(self) -> Iterator[tuple[str, ...]]:
        """Yield part after part, each to the revision on which all of it builds.

        That one begins the next part; the last part may have several bases.
        """
        places = [place for place in self.narrow if 0 < place <= self.first_base]
        for first, end in zip([0, *places], places, strict=False):
            yield self.revisions[first : end + 1]
        yield self.revisions[places[-1] if places else 0 :]


def order_of(parents: Parents) -> Order | None:
    """Return a history in order; ``parents`` says what each revision builds on.

    None where that is no history: where it goes round in a circle, or where one builds on
    a revision that is not there.
    """
    children = _count_children(parents)
    if children is None:
        return None
    heads = tuple(revision for revision, count in children.items() if not count)
    steps = dict.fromkeys(heads, 0)
    revisions, narrow = _backwards(parents, children, steps)
    if len(revisions) < len(parents):
        return None
    bases = (place for place, revision in enumerate(revisions) if not parents[revision])
    return Order(tuple(revisions), steps, heads, tuple(narrow), next(bases, 0))


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
    parents: Parents, children: dict[str, int], steps: dict[str, int]
) -> tuple[list[str], list[int]]:
    """Return each revision behind all that build on it, and the places that are narrow.

    ``steps``, which has the heads, gets how far each one is from the nearest of them.
    """
    ready, begun = list(steps), 0
    narrow: list[int] = []
    # What gets ready meanwhile has its turn as well.
    for place, revision in enumerate(ready):
        if place + 1 == len(ready) and not begun:
            narrow.append(place)
        further = steps[revision] + 1
        for parent in parents[revision]:
            if parent not in steps:
                begun += 1
                steps[parent] = further
            elif steps[parent] > further:
                steps[parent] = further
            children[parent] -= 1
            if not children[parent]:
                begun -= 1
                ready.append(parent)
    return ready, narrow
