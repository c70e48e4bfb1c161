"""An order for things that may need each other, from what is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
Needs = Callable[[T], Iterable[T]]


def in_order(
    things: Iterable[T], needs: Callable[[T], Iterable[T]], wishes: Needs[T] | None = None
) -> Sequence[T]:
    """Return things in their own order, but each behind all that it needs.

    ``wishes`` are kept where they can be; where things need each other in a circle, the
    first of them comes first.
    """
    waiting = dict.fromkeys(things)
    wished = wishes or (lambda _: ())
    needed = {one: {n for n in needs(one) if n in waiting and n != one} for one in waiting}
    wanted = {one: {n for n in wished(one) if n in waiting and n != one} for one in waiting}
    done: list[T] = []
    while waiting:
        missing = {
            one: (len(needed[one] & waiting.keys()), len(wanted[one] & waiting.keys()))
            for one in waiting
        }
        best = min(missing.values())
        if best == (0, 0):
            free = [one for one in waiting if missing[one] == best]
        else:
            free = [next(one for one in waiting if missing[one] == best)]
        for one in free:
            done.append(one)
            del waiting[one]
    return done
