"""Names of files for objects."""

from __future__ import annotations

from alembic_pgpipe.objects.held import Address, DatabaseObject, Kind
from alembic_pgpipe.routines.naming import LONGEST_BYTES, file_names


def names(*objects: DatabaseObject, taken: tuple[str, ...] = ()) -> list[str]:
    return [*file_names(objects, taken).values()]


def function(number: int, name: str, types: str = "") -> DatabaseObject:
    identity = f'app."{name}"({types})'
    return DatabaseObject(Address(1, number), Kind.FUNCTION, "app", name, identity, "1")


def test_a_lone_function_goes_by_its_name() -> None:
    assert names(function(1, "_f", "integer")) == ["app/_f.sql"]


def test_overloads_go_by_their_types() -> None:
    found = names(function(1, "f"), function(2, "f", "integer,app.t[],character varying"))
    assert found == ["app/f.sql", "app/f-integer-t_array-character_varying.sql"]


def test_a_trigger_goes_by_its_table_too() -> None:
    trigger = DatabaseObject(Address(1, 1), Kind.TRIGGER, "app", "g", "g ON app.t", "1", "t")
    assert names(trigger) == ["app/t.g.sql"]


def test_what_has_no_schema_lies_at_the_top() -> None:
    assert names(DatabaseObject(Address(1, 1), Kind.EVENT_TRIGGER, None, "e", "e", "1")) == [
        "e.sql"
    ]


def test_case_does_not_tell_names_apart() -> None:
    found = names(function(1, "Film"), function(2, "film"), function(3, "FILM"))
    assert len({path.lower() for path in found}) == 3
    assert found[0] == "app/Film.sql"


def test_a_file_that_is_there_is_not_taken() -> None:
    assert names(function(1, "f", "text"), taken=("app/f.sql",)) == ["app/f-text.sql"]
    [path] = names(function(1, "f", "text"), taken=("app/f.sql", "app/F-text.sql"))
    assert path not in ("app/f.sql", "app/f-text.sql")


def test_characters_that_hurt_are_replaced_and_names_stay_apart() -> None:
    found = names(function(1, "a/b"), function(2, "a b"), function(3, ".."), function(4, "a_b"))
    assert len(set(found)) == 4
    assert all("/" not in path.removeprefix("app/") and ".." not in path for path in found)
    assert names(function(1, "a/b")) == [found[0]]


def test_a_long_name_fits_with_a_snapshots_ending() -> None:
    [path] = names(function(1, "ü" * 63, "text"), taken=("app/" + "ü" * 63 + ".sql",))
    [same] = names(function(1, "f", "x" * 300), taken=("app/f.sql",))
    for one in (path, same):
        assert len(one.removeprefix("app/").removesuffix(".sql").encode()) <= LONGEST_BYTES
