"""An order is found by trying: what needs another item is accepted behind it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from alembic_pgpipe.shipping.trying import Order, try_in_order


def ordered(needs: Mapping[str, str]) -> tuple[Order[str, LookupError], list[str]]:
    """Try the keys, each of which needs the letters that it is given; note each attempt."""
    done: set[str] = set()
    tried: list[str] = []

    def attempt(item: str) -> None:
        tried.append(item)
        missing = set(needs[item]) - done
        if missing:
            raise KeyError(min(missing))
        done.add(item)

    found: Order[str, LookupError] = try_in_order(needs, attempt, (KeyError, IndexError))
    return found, tried


def test_what_needs_nothing_keeps_its_place() -> None:
    found, tried = ordered({"b": "", "a": ""})
    assert (found.accepted, found.refused) == (("b", "a"), ())
    assert tried == ["b", "a"]


def test_what_needs_others_comes_behind_them() -> None:
    found, tried = ordered({"a": "b", "b": "c", "c": ""})
    assert (found.accepted, found.refused) == (("c", "b", "a"), ())
    assert len(tried) == 6


def test_it_ends_where_nothing_more_is_accepted() -> None:
    found, tried = ordered({"a": "b", "b": "a", "c": "", "d": "ca"})
    assert found.accepted == ("c",)
    assert [(item, str(error)) for item, error in found.refused] == [
        ("a", "'b'"),
        ("b", "'a'"),
        ("d", "'a'"),
    ]
    assert tried == [*"abcd", *"abd"]


def test_nothing_to_try_is_in_order() -> None:
    assert ordered({}) == (Order((), ()), [])


def test_another_error_is_not_a_refusal() -> None:
    def attempt(_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        try_in_order([1], attempt, (KeyError,))
