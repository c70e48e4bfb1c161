"""What a step holds up, decided from tables before and after it and from its locks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from alembic_pgpipe.watching.holdups import (
    Column,
    Constraint,
    Holdup,
    Index,
    Kind,
    Lock,
    Seen,
    Table,
    compared,
    read_seen,
    told,
)

OLD = Table(
    "public.t",
    file=70,
    columns={1: Column("id", "23", required=True), 2: Column("n", "23")},
    indexes={8: Index(80)},
    constraints={5: Constraint()},
)
PARENT = Table("public.p", kind="p")
PART = replace(OLD, name="public.p1", root=6)
SHARE = frozenset({"ShareLock"})
ALTERED = frozenset({"AccessExclusiveLock"})
KEYED = frozenset({"ShareRowExclusiveLock"})
MORE = replace(OLD, columns={**OLD.columns, 3: Column("more", "23")})
REQUIRED = replace(OLD, columns={**OLD.columns, 2: Column("n", "23", required=True)})
CHECKED = replace(OLD, constraints={**OLD.constraints, 9: Constraint()})
INDEXED = replace(OLD, indexes={**OLD.indexes, 9: Index(90)})
UNIQUE = replace(OLD, indexes={**OLD.indexes, 9: Index(90, of_constraint=True)})
REBUILT = {8: Index(81)}


def kinds(
    old: Table, new: Table | None, modes: frozenset[str] | None = ALTERED, scans: int = 0
) -> list[Kind]:
    """Return what is said of one table, which has number 7."""
    locks = {7: Lock(modes, scans)} if modes is not None else None
    seen = compared({7: old}, {7: new} if new is not None else {}, locks)
    assert all(one.table == 7 for one in seen.holdups)
    return [one.kind for one in seen.holdups]


@pytest.mark.parametrize(
    ("new", "modes", "scans", "said"),
    [
        (OLD, ALTERED, 0, []),
        (MORE, ALTERED, 0, []),
        (replace(MORE, file=71), ALTERED, 1, [Kind.REWRITTEN]),
        (replace(OLD, file=71, storage="u"), ALTERED, 1, [Kind.REWRITTEN]),
        (replace(OLD, file=71), ALTERED, 1, [Kind.REWRITTEN_OR_EMPTIED]),
        (replace(OLD, file=71, counted=True), ALTERED, 0, [Kind.REWRITTEN_OR_EMPTIED]),
        (replace(OLD, file=71), ALTERED, 0, [Kind.EMPTIED]),
        (replace(OLD, file=71, indexes=REBUILT), ALTERED, 1, [Kind.EMPTIED]),
        (replace(MORE, file=71, indexes=REBUILT), ALTERED, 2, [Kind.REWRITTEN]),
        (None, ALTERED, 0, [Kind.DROPPED]),
        (replace(OLD, columns={1: OLD.columns[1]}), ALTERED, 0, [Kind.COLUMN_DROPPED]),
        (INDEXED, SHARE, 1, [Kind.INDEXED]),
        (replace(OLD, indexes=REBUILT), SHARE, 1, [Kind.INDEXED]),
        (replace(OLD, indexes={9: Index(80)}), ALTERED, 0, []),
        (UNIQUE, ALTERED | SHARE, 1, [Kind.KEYED]),
        (REQUIRED, ALTERED, 0, []),
        (REQUIRED, ALTERED, 1, [Kind.REQUIRED]),
        (CHECKED, ALTERED, 0, []),
        (CHECKED, ALTERED, 1, [Kind.READ_ALONE]),
        (CHECKED, KEYED, 1, [Kind.READ]),
        (OLD, KEYED, 0, []),
        (OLD, ALTERED, 1, [Kind.READ_AND_LOCKED]),
        (INDEXED, ALTERED | SHARE, 1, [Kind.INDEXED]),
        (INDEXED, ALTERED | SHARE, 2, [Kind.INDEXED, Kind.READ_AND_LOCKED]),
    ],
)
def test_what_a_transaction_has_done_to_a_table(
    new: Table | None, modes: frozenset[str], scans: int, said: list[Kind]
) -> None:
    assert kinds(OLD, new, modes, scans) == said


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (OLD, []),
        (replace(OLD, file=71), [Kind.REWRITTEN_OR_EMPTIED]),
        (replace(MORE, file=71), [Kind.REWRITTEN]),
        (None, [Kind.DROPPED]),
        (INDEXED, [Kind.INDEXED]),
        (replace(OLD, indexes={**OLD.indexes, 9: Index(90, at_once=False)}), []),
        (CHECKED, [Kind.READ]),
        (replace(OLD, constraints={**OLD.constraints, 9: Constraint(at_once=False)}), []),
        (REQUIRED, []),
    ],
)
def test_without_a_transaction_only_what_is_sure_is_said(
    new: Table | None, said: list[Kind]
) -> None:
    assert kinds(OLD, new, None) == said


def test_a_materialized_view_has_no_rows_of_its_own() -> None:
    view = replace(OLD, kind="m")
    assert kinds(view, None) == []
    assert kinds(view, replace(view, file=71)) == [Kind.REWRITTEN]
    assert kinds(view, view, frozenset({"ExclusiveLock"}), 2) == []


@pytest.mark.parametrize(
    ("after", "locks", "names"),
    [
        ({6: PARENT, 7: replace(PART, file=71, storage="u")}, (6, 7), ["public.p"]),
        ({7: replace(PART, file=71, storage="u")}, (7,), ["public.p1"]),
        ({6: PARENT, 7: replace(PART, file=71)}, (6, 7), ["public.p1"]),
        ({}, (6, 7), ["public.p"]),
        ({6: PARENT}, (6, 7), ["public.p1"]),
    ],
    ids=["rewritten", "one rewritten", "emptied", "dropped", "one dropped"],
)
def test_partitions_go_by_the_name_of_the_whole_where_all_of_it_is_meant(
    after: Mapping[int, Table], locks: tuple[int, ...], names: list[str]
) -> None:
    before = {oid: table for oid, table in ((6, PARENT), (7, PART)) if oid in locks}
    rewritten = 7 in after and after[7].storage != ""
    held = {oid: Lock(ALTERED, int(rewritten and oid == 7)) for oid in locks}
    seen = compared(before, after, held)
    assert [one.name for one in seen.holdups] == names


def test_a_foreign_key_holds_up_both_tables() -> None:
    new = replace(OLD, constraints={**OLD.constraints, 9: Constraint(referenced=4)})
    other = Table("public.other")
    seen = compared({4: other, 7: OLD}, {4: other, 7: new}, {4: Lock(KEYED), 7: Lock(KEYED, 1)})
    assert seen.holdups == (
        Holdup(Kind.READ, 7, "public.t"),
        Holdup(Kind.REFERENCED, 4, "public.other"),
    )


def test_what_is_made_is_named_and_holds_nothing_up() -> None:
    seen = compared({}, {7: OLD, 3: PARENT}, {7: Lock(ALTERED, 3), 3: Lock(ALTERED)})
    assert seen == Seen(made=(3, 7))


def test_a_text_gives_the_same_again() -> None:
    seen = Seen((3, 7), (Holdup(Kind.EMPTIED, 7, 'public."ä"'), Holdup(Kind.READ, 4, "a.b")))
    assert read_seen(str(seen)) == seen
    assert read_seen(str(Seen())) == Seen()


def test_a_file_has_one_line_and_old_tables_alone_count() -> None:
    dropped = [Holdup(Kind.DROPPED, number, f"t{number}") for number in range(1, 7)]
    seen = {
        "a.sql": Seen(made=(6,), holdups=(Holdup(Kind.EMPTIED, 9, "t9"),)),
        "b.sql": Seen(holdups=(*dropped[:4], Holdup(Kind.EMPTIED, 8, "t8"))),
        "c.sql": Seen(holdups=tuple(dropped[5:])),
        "d.sql": Seen(),
        "e.sql": Seen(holdups=(*dropped, Holdup(Kind.DROPPED, 10, "t1"))),
    }
    assert told(seen) == (
        "a.sql empties t9",
        "b.sql empties t8; drops t1, t2, t3 and t4 with all rows",
        "e.sql drops t1, t2, t3 and 2 others with all rows",
    )
