"""An order for things that may need each other: from what is known, or by trying."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
E = TypeVar("E", bound=Exception)
Needs = Callable[[T], Iterable[T]]


@dataclass(frozen=True, slots=True)
class Order(Generic[T, E]):
    """The items in the order in which they were accepted, and why the others never were."""

    accepted: tuple[T, ...]
    refused: tuple[tuple[T, E], ...]


def try_in_order(
    items: Iterable[T], attempt: Callable[[T], None], refusals: tuple[type[E], ...]
) -> Order[T, E]:
    """Try the items again and again, until all are accepted or none of the rest is.

    ``attempt`` raises one of ``refusals`` where an item is not accepted, and leaves
    nothing of it behind then; each refused item comes with its last error.
    """
    accepted: list[T] = []
    refused: list[tuple[T, E]] = []
    waiting = list(items)
    while waiting:
        refused = []
        for item in waiting:
            try:
                attempt(item)
            except refusals as error:
                refused.append((item, error))
            else:
                accepted.append(item)
        if len(refused) == len(waiting):
            break
        waiting = [item for item, _ in refused]
    return Order(tuple(accepted), tuple(refused))


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
