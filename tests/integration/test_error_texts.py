"""A database error's text is the same and whole wherever it is shown."""

from __future__ import annotations

import pytest

from tests.project import Project
from tests.refusal import refused

ODD = r"""it's 100% "wrong": %s %(x)s {y} :z $1 \n \\ ' '' — größer als 中文 😀"""
LONG = "x" * 20_000


def fails_with(text: str) -> str:
    """Return a source that fails with a message, a DETAIL and a HINT."""
    return (
        f"DO $do$ BEGIN RAISE EXCEPTION USING MESSAGE = $m${text}$m$, "
        f"DETAIL = $d$detail {text}$d$, HINT = $h$hint {text}$h$; END $do$;\n"
    )


@pytest.mark.parametrize("text", [ODD, LONG, "two\nlines'"], ids=["odd", "long", "lines"])
def test_an_error_is_whole_in_the_terminal_the_ledger_and_the_log(
    project: Project, text: str
) -> None:
    project.wrapped(a=fails_with(text))
    result = project.upgrade()
    assert result.code == 1
    logs = project.scalar("SELECT logs FROM migrations")
    assert logs.split("\n", 1)[0].startswith("alembic/sql/a.sql:1:1  P0001 raise_exception")
    assert f"\n{text}\nDETAIL: detail {text}\nHINT: hint {text}\nCONTEXT: " in logs
    assert project.scalar("SELECT message FROM migration_attempts") == logs
    assert logs in result.output
    assert logs in project.scalar("SELECT logs FROM migration_logs")
    assert logs in (project.folder / "migration.log").read_text(encoding="utf-8")


def test_a_held_revision_shows_the_same_error_again(project: Project) -> None:
    project.wrapped(a=fails_with(ODD))
    project.upgrade()
    result = project.upgrade()
    assert result.code == 3
    logs = project.scalar("SELECT logs FROM migrations")
    assert "\n".join(f"  {line}" for line in logs.splitlines()) in result.output


def test_the_message_of_the_command_has_the_error(project: Project) -> None:
    project.wrapped(a=fails_with(ODD))
    refused(project.upgrade(), f"alembic/sql/a.sql:1:1: {ODD}. Nothing of this revision")


def test_the_commands_show_the_same_error(project: Project) -> None:
    project.wrapped(a=fails_with(ODD))
    project.upgrade()
    assert ODD in project.ok("pgpipe", "log").output
    assert "alembic/sql/a.sql:1:1  P0001" in project.ok("pgpipe", "status").output


def test_a_notice_is_whole_in_the_terminal_and_the_log(project: Project) -> None:
    project.wrapped(a=f"DO $do$ BEGIN RAISE NOTICE '%', $m${ODD}$m$; END $do$;\n")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert ODD in result.output
    assert ODD in project.scalar("SELECT logs FROM migration_logs")


def test_reasons_and_names_are_data_too(project: Project) -> None:
    name = "it's 100% (odd) — größer"
    project.source(name, fails_with(ODD))
    project.ok("pgpipe", "wrap")
    assert project.upgrade().code == 1
    project.ok("pgpipe", "skip", name, "--reason", ODD)
    assert project.ledger() == {name: "SKIPPED"}
    assert project.scalar("SELECT reason FROM migration_attempts WHERE reason <> ''") == ODD
    assert ODD in project.ok("upgrade", "head").output
