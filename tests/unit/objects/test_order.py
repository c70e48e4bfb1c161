"""An order in which things come behind what they need."""

from __future__ import annotations

from alembic_pgpipe.objects.order import in_order


def ordered(things: str, needs: dict[str, str], wishes: dict[str, str] | None = None) -> str:
    wished = wishes or {}
    found = in_order(things, lambda one: needs.get(one, ""), lambda one: wished.get(one, ""))
    return "".join(found)


def test_things_keep_their_order_where_they_need_nothing() -> None:
    assert ordered("cab", {}) == "cab"


def test_a_thing_comes_behind_all_that_it_needs() -> None:
    assert ordered("abcd", {"a": "bd", "b": "c"}) == "cdba"


def test_what_is_not_among_the_things_is_not_waited_for() -> None:
    assert ordered("ab", {"a": "x"}) == "ab"


def test_a_wish_is_kept_where_it_can_be() -> None:
    assert ordered("ab", {}, {"a": "b"}) == "ba"


def test_a_need_beats_a_wish() -> None:
    assert ordered("ab", {"b": "a"}, {"a": "b"}) == "ab"


def test_a_circle_is_left_at_its_first_thing() -> None:
    assert ordered("abc", {"a": "b", "b": "a", "c": "a"}) == "abc"


def test_a_circle_of_wishes_does_not_hide_a_need() -> None:
    assert ordered("abc", {"a": "c"}, {"b": "c", "c": "b"}) == "bca"
