"""A history is cut only where what is later has the same answers without the earlier part."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from alembic_pgpipe.revisions.recent import Parents, Recent, order_of

LINE = {"a": (), "b": ("a",), "c": ("b",), "d": ("c",)}
# c and d are two ways from b to e.
DIAMOND = {"a": (), "b": ("a",), "c": ("b",), "d": ("b",), "e": ("c", "d"), "f": ("e",)}


def recent(parents: Parents, depth: int, including: Collection[str] = ()) -> Recent | None:
    found = order_of(parents)
    return None if found is None else found.recent(depth, including)


@st.composite
def histories(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Draw a history: each revision builds on some of the earlier ones."""
    size = draw(st.integers(0, 12))
    names = [f"r{number}" for number in range(size)]
    chosen = {
        name: tuple(
            sorted(draw(st.sets(st.sampled_from(names[:at]), max_size=2))) if at else ()
        )
        for at, name in enumerate(names)
    }
    return dict(draw(st.permutations(list(chosen.items()))))


def behind(parents: dict[str, tuple[str, ...]], revision: str) -> set[str]:
    """Return a revision and all that it builds on."""
    found = {revision}
    for parent in parents[revision]:
        found |= behind(parents, parent)
    return found


def test_a_line_is_cut_at_the_depth_that_is_asked_for() -> None:
    assert recent(LINE, 0) == Recent(("d",), ("d",), "c")
    assert recent(LINE, 1) == Recent(("d", "c"), ("d",), "b")


def test_it_is_cut_behind_what_has_to_be_in_it() -> None:
    assert recent(LINE, 0, ["b"]) == Recent(("d", "c", "b"), ("d",), "a")


def test_nothing_is_cut_where_all_is_asked_for() -> None:
    assert recent(LINE, 3) == Recent(("d", "c", "b", "a"), ("d",), None)
    assert recent(LINE, 0, ["a"]) == Recent(("d", "c", "b", "a"), ("d",), None)


def test_it_is_not_cut_between_two_ways() -> None:
    found = recent(DIAMOND, 1)
    assert found is not None
    assert found.cut == "b"
    assert set(found.revisions) == {"f", "e", "c", "d"}


def test_a_circle_is_no_history_wherever_it_is() -> None:
    assert recent({**LINE, "a": ("x",), "x": ("a",)}, 0) is None
    assert recent({"a": ("b",), "b": ("a",)}, 0) is None


def test_what_is_not_there_is_not_cut_off() -> None:
    assert recent({**LINE, "a": ("gone",)}, 0) is None
    assert recent(LINE, 0, ["unknown"]) is None


def test_an_empty_history_has_no_heads() -> None:
    assert recent({}, 0) == Recent((), (), None)


def stretches(parents: Parents) -> list[tuple[str, ...]]:
    found = order_of(parents)
    assert found is not None
    return list(found.stretches())


def test_a_history_is_parted_where_all_comes_from_one_revision() -> None:
    assert stretches(LINE) == [("d", "c"), ("c", "b"), ("b", "a"), ("a",)]
    assert stretches(DIAMOND) == [("f", "e"), ("e", "c", "d", "b"), ("b", "a"), ("a",)]


def test_it_is_not_parted_behind_a_second_base() -> None:
    assert stretches({**LINE, "other": ()}) == [("d", "other", "c", "b", "a")]
    assert stretches({}) == [()]


@given(histories())
def test_each_part_builds_on_its_last_revision_alone(
    parents: dict[str, tuple[str, ...]],
) -> None:
    *earlier, last = stretches(parents)
    known: list[str] = []
    for part in earlier:
        assert known[-1:] in ([], [part[0]])
        known += part[bool(known) :]
        own, behind_it = set(part), behind(parents, part[-1])
        assert all(part[-1] in behind(parents, one) for one in part)
        assert all(p in own for one in part[:-1] for p in parents[one])
        assert not own & behind_it - {part[-1]}
    known += last[bool(earlier) :]
    assert sorted(known) == sorted(parents)


@given(histories(), st.integers(0, 4), st.data())
def test_a_cut_parts_the_later_from_the_earlier(
    parents: dict[str, tuple[str, ...]], depth: int, data: st.DataObject
) -> None:
    names = list(parents)
    including = data.draw(st.sets(st.sampled_from(names))) if names else set()
    found = recent(parents, depth, including)
    assert found is not None
    later = set(found.revisions)
    assert later >= including
    assert set(found.heads) <= later or not parents
    if found.cut is None:
        assert later == set(parents)
        return
    earlier = behind(parents, found.cut)
    assert later | earlier == set(parents)
    assert not later & earlier
    crossing = {p for one in later for p in parents[one] if p in earlier}
    assert crossing == {found.cut}
