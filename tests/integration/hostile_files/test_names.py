"""Hostile names of files, made by chance: applied once each, or refused by name."""

from __future__ import annotations

import os
import random
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.revisions.wrapper import revision_id
from alembic_pgpipe.showable import HARMFUL
from alembic_pgpipe.source import discover
from tests.project import Project

SEED = 20260101
STORABLE, OTHERS = 150, 1_000
# Names that are known to be hard for a template, a shell, an .ini file, SQL or a person.
KNOWN = (
    *("a b", " a", "a ", "a'b", 'a"b', 'a"""b', "a\\", "\\n", "-x", "--help", "100%", "%s"),
    *("%(rev)s", "${x}", "<%x%>", "## x", "% if x:", "{x}", "a;b", ":x", "$HOME", "`id`", "#"),
    *("head", "base", "'; DROP TABLE x; --", "<b>x", "[red]x", "a.sql", "é", "عربي", "日本"),
    *("a\u0301\u0301", "😀", "ǆ", "x" * 251, "ü" * 120, "NUL", "a:b", "*", "?", "~", "@", "+"),
)
PIECES = (
    *"abc019_.- '\"\\%${}<>#;:`*?~@+=!&|()[]^,",
    "é",
    "e\u0301",
    "ع",
    "日",
    "😀",
    "\u0301",
)
UNFIT = (
    *"\n\r\t\x1b\x7f\x01",
    "\u202e",
    "\u2028",
    "\u200b",
    "\udcff",
    "\udc80",
    "\xa0",
    "\ufeff",
)


def made(seed: int, count: int, pieces: tuple[str, ...], one_of: tuple[str, ...]) -> list[str]:
    """Return names from pieces, with one of some others in each."""
    choices = random.Random(seed)
    names = []
    for _ in range(count):
        parts = choices.choices(pieces, k=choices.randint(1, 12))
        parts.insert(choices.randrange(len(parts) + 1), choices.choice(one_of))
        names.append("".join(parts))
    return names


def distinct(names: list[str]) -> Iterator[str]:
    """Yield the names that are one file each, wherever they are checked out."""
    seen: set[str] = set()
    for name in names:
        # What begins with a dot is hidden, and .up and .down say what a file is for.
        plain = unicodedata.normalize("NFC", name.removesuffix(".up"))
        if plain not in seen and not plain.startswith(".") and not plain.endswith(".down"):
            seen.add(plain)
            yield name


def test_hostile_names_are_wrapped_and_applied_once_each(project: Project) -> None:
    names = list(distinct([*KNOWN, *made(SEED, STORABLE, PIECES, ("",))]))
    for name in names:
        project.source(name, "INSERT INTO applied VALUES (1);\n")
    project.query("CREATE TABLE applied (n int)")
    project.ok("pgpipe", "wrap")
    project.ok("pgpipe", "wrap", "--check")
    assert project.alembic("pgpipe", "check", "--no-rehearsal").code == 0
    project.ok("upgrade", "head")
    assert project.scalar("SELECT count(*) FROM applied") == len(names) > 150
    known = {name.removesuffix(".up") for name in names}
    assert project.ledger() == dict.fromkeys(known, "SUCCESS")
    assert project.status() == dict.fromkeys(known, "SUCCESS")
    project.ok("pgpipe", "status", "--all")
    project.ok("history")
    result = project.alembic("pgpipe", "check", "--no-rehearsal")
    assert result.code == 0, result.text


def test_names_that_cannot_be_stored_are_refused_by_name(tmp_path: Path) -> None:
    tried = 0
    for name in made(SEED, OTHERS, PIECES, UNFIT):
        path = tmp_path / f"x{name}.sql"
        with suppress(OSError):
            path.touch()
        if not path.exists():
            continue
        tried += 1
        with pytest.raises(
            SourceError, match=r"cannot be stored\. Rename it, then: "
        ) as caught:
            discover(tmp_path, tmp_path)
        assert not HARMFUL.search(str(caught.value))
        assert "\n" not in str(caught.value)
        path.unlink()
    assert tried > 990


def test_a_name_that_cannot_be_stored_is_one_problem_of_check_among_others(
    project: Project,
) -> None:
    project.wrapped(a="COMMIT; SELECT 1;\n")
    (project.folder / "alembic/sql" / os.fsdecode(b"\xff\n.sql")).touch()
    result = project.alembic("pgpipe", "check", "--no-rehearsal")
    assert result.code == 6
    assert "alembic/sql/a.sql:1:1: " in result.output
    assert "alembic/sql/�␊.sql: the name '\\udcff\\n' holds characters" in result.output


def test_a_routine_whose_name_cannot_be_stored_is_refused_before_a_snapshot_is_made(
    project: Project,
) -> None:
    name = os.fsdecode(b"f\x1b\xff.sql")
    project.write(
        f"alembic/routines/{name}",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';\n",
    )
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    assert "the name 'f\\x1b\\udcff' holds characters that cannot be stored" in result.errors
    assert list((project.folder / "alembic/sql").iterdir()) == []


def test_names_that_only_look_different_to_a_program_are_refused(project: Project) -> None:
    for name in ("é", "e\u0301"):
        project.source(name, "SELECT 1;\n")
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    assert "'e\\u0301.sql' and '\\xe9.sql' look the same" in result.errors


def test_a_name_has_one_revision_id_on_every_file_system() -> None:
    assert revision_id("é") == revision_id("e\u0301") != revision_id("e")
