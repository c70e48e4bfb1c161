"""An order for things that may need each other, found by trying."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


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
