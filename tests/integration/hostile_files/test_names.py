"""Hostile names of files, made by chance: applied once each, or refused by name."""

from __future__ import annotations

import os
from pathlib import Path

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.integration.hostile_files.names import applied_once, refusals, storable
from tests.project import Project

SEED = 20260101
STORABLE, OTHERS = 150, 1_000


def test_hostile_names_are_wrapped_and_applied_once_each(project: Project) -> None:
    names = storable(SEED, STORABLE)
    assert applied_once(project, names) == len(names) > 150
    assert set(project.status()) == set(project.ledger())
    project.ok("pgpipe", "status", "--all")
    project.ok("history")
    result = project.alembic("pgpipe", "check", "--no-rehearsal")
    assert result.code == 0, result.text


def test_names_that_cannot_be_stored_are_refused_by_name(tmp_path: Path) -> None:
    tried, refused = refusals(tmp_path, SEED, OTHERS)
    assert refused == tried > 990


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


def test_a_source_in_capitals_is_not_taken_for_nothing(project: Project) -> None:
    project.wrapped(a="SELECT 1;\n")
    project.write("alembic/sql/b.SQL", "SELECT 1;\n")
    for command, code in (("wrap", 1), ("check", 6)):
        result = project.alembic("pgpipe", command)
        assert result.code == code
        assert "alembic/sql/b.SQL: this name has to end in small letters: b.sql" in result.text


def test_a_name_has_one_revision_id_on_every_file_system() -> None:
    assert revision_id("é") == revision_id("e\u0301") != revision_id("e")
