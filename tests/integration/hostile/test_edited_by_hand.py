"""A row, an attempt or alembic_version changed by hand: said, and nothing runs twice."""

from __future__ import annotations

import pytest

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project
from tests.refusal import applied, refused

A, B, C = (revision_id(name) for name in "abc")
# Whatever runs twice makes a second row.
SOURCE = """\
CREATE TABLE IF NOT EXISTS public.ran (name text);
INSERT INTO public.ran VALUES ('{0}');
"""

DIED = (
    "INSERT INTO migration_attempts (migration_name, revision, direction, build_number, "
    "build_id, who, outcome) VALUES ('x', %s, 'upgrade', '7', '7', 'ann', 'RUNNING')"
)


@pytest.fixture
def shipped(project: Project) -> Project:
    """Give a project whose three revisions are applied."""
    for name in "abc":
        project.source(name, SOURCE.format(name), "SELECT 1;\n")
    project.wrapped()
    project.ok("upgrade", "head")
    return project


def ran(project: Project) -> list[str]:
    return [name for (name,) in project.query("SELECT name FROM public.ran ORDER BY 1")]


def checked(project: Project) -> list[str]:
    """Return what ``check`` says of the ledger."""
    result = project.alembic("pgpipe", "check", "--no-rehearsal")
    assert result.code in (0, 6), result.text
    said = result.output.splitlines()[:-1]
    return [line for line in said if not line.startswith("pending: ")]


def contradicted(project: Project) -> list[str]:
    """Return the revisions that check finds a problem with; a note is none."""
    return [
        line.split(": ")[1].split(" ")[0]
        for line in checked(project)
        if not line.startswith("note: ")
    ]


# -- alembic_version ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "lacks"),
    [
        (f"UPDATE alembic_version SET version_num = '{A}'", [B, C]),
        ("DELETE FROM alembic_version", [A, B, C]),
        ("TRUNCATE alembic_version", [A, B, C]),
        ("DROP TABLE alembic_version", [A, B, C]),
    ],
)
def test_a_version_that_was_set_back_runs_nothing_again(
    shipped: Project, edit: str, lacks: list[str]
) -> None:
    shipped.query(edit)
    line = refused(shipped.upgrade(), lacks[0], "alembic_version has not passed it")
    assert f"alembic pgpipe repair --applied {lacks[0]}" in line
    assert f"And {len(lacks) - 1} more" in line
    assert contradicted(shipped) == lacks
    assert ran(shipped) == ["a", "b", "c"]
    shipped.ok("stamp", "head")
    assert checked(shipped) == []
    shipped.ok("upgrade", "head")
    assert ran(shipped) == ["a", "b", "c"]


def test_a_version_that_was_set_ahead_loses_nothing(project: Project) -> None:
    project.wrapped(a=SOURCE.format("a"), b=SOURCE.format("b"), c=SOURCE.format("c"))
    project.ok("upgrade", A)
    project.query("UPDATE alembic_version SET version_num = %s", C)
    line = refused(project.upgrade(), B, "has passed it", f"--not-applied {B}")
    assert "no attempt at it is recorded" in line
    assert len(checked(project)) == 2
    assert project.ledger() == {"a": "SUCCESS"}


def test_a_version_that_was_set_ahead_of_a_failed_revision_loses_nothing(
    project: Project,
) -> None:
    project.wrapped(a="SELECT 1/0;\n", b=SOURCE.format("b"))
    assert project.upgrade().code == 1
    project.query("INSERT INTO alembic_version VALUES (%s)", B)
    line = refused(project.upgrade(), f"{B} (b): its row says WAITING", "has passed it")
    assert f"--not-applied {B}" in line


def test_two_versions_in_one_line_are_told_from_two_branches(shipped: Project) -> None:
    shipped.query("INSERT INTO alembic_version VALUES (%s)", A)
    shipped.wrapped(d=SOURCE.format("d"))
    line = refused(shipped.upgrade(), A, "besides one that builds on it")
    assert f"alembic_version: without {A}" in line
    assert len(checked(shipped)) == 1
    assert "SUCCESS" in shipped.ok("pgpipe", "status").output
    assert ran(shipped) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("head", "begun"), [("", True), ("SELECT 1;\n", False)], ids=["one message", "several"]
)
def test_a_source_that_writes_the_next_version_itself_is_told_so(
    project: Project, head: str, begun: bool
) -> None:
    project.source("a", SOURCE.format("a"))
    project.source("b", f"INSERT INTO public.alembic_version VALUES ('{C}');\n")
    project.source("c", head + "INSERT INTO public.ran VALUES ('c');\n")
    project.wrapped()
    line = refused(
        project.upgrade(),
        f"alembic/sql/c.sql: alembic_version holds its revision {C} (c) already",
        "alembic pgpipe repair",
    )
    assert "AssertionError" not in line
    assert ran(project) == ["a"]
    # Of what has begun the ledger knows how it ended.
    assert project.ledger()["c"] == ("ERROR" if begun else "WAITING")
    project.ok("pgpipe", "repair", "--yes", *([] if begun else ["--not-applied", "c"]))
    if begun:
        project.ok("pgpipe", "retry", "c")
    project.ok("upgrade", "head")
    assert ran(project) == ["a", "c"]
    assert set(project.ledger().values()) == {"SUCCESS"}


def test_an_unknown_version_is_named_by_every_command(shipped: Project) -> None:
    shipped.query("UPDATE alembic_version SET version_num = 'feedface'")
    refused(shipped.upgrade(), "'feedface'", "alembic stamp --purge REVISION")
    refused(shipped.alembic("pgpipe", "status"), "'feedface'")
    [line] = checked(shipped)
    assert line.startswith("alembic_version: it holds revision 'feedface'")
    assert ran(shipped) == ["a", "b", "c"]
    shipped.ok("stamp", "--purge", "head")
    assert checked(shipped) == []


# -- rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [A, C])
@pytest.mark.parametrize(
    "edit", ["DELETE FROM migrations WHERE migration_name = 'b'", "DROP TABLE migrations"]
)
def test_a_row_that_is_gone_does_not_run_again(
    shipped: Project, edit: str, version: str
) -> None:
    shipped.query(edit)
    shipped.query("UPDATE alembic_version SET version_num = %s", version)
    line = refused(shipped.upgrade(), "it has no row", "alembic pgpipe repair")
    assert ("no row → SUCCESS" in line) is (version == C or "DROP" in edit)
    found = [one for one in checked(shipped) if f"{B} (b)" in one]
    assert "no row → SUCCESS" in found[0] if version == C else f"--applied {B}" in found[0]
    assert ran(shipped) == ["a", "b", "c"]


@pytest.mark.parametrize("status", ["RETRY", "RUNNING", "ERROR", "WAITING", "SKIPPED"])
def test_a_row_that_was_edited_does_not_run_again(shipped: Project, status: str) -> None:
    shipped.source("b", f"--retry\n{SOURCE.format('b')}")
    shipped.query(
        "UPDATE migrations SET applied_status = %s WHERE migration_name = 'b'", status
    )
    refused(shipped.upgrade(), f"{B} (b): its row says {status}", f"{status} → SUCCESS")
    refused(shipped.alembic("downgrade", "-1"), B)
    assert len(checked(shipped)) == 1
    assert ran(shipped) == ["a", "b", "c"]


@pytest.mark.parametrize("status", ["success", "done", ""])
def test_a_status_that_nobody_knows_is_named(shipped: Project, status: str) -> None:
    shipped.query(
        "UPDATE migrations SET applied_status = %s WHERE migration_name = 'b'", status
    )
    refused(shipped.upgrade(), repr(status), "alembic pgpipe repair")
    refused(shipped.alembic("pgpipe", "status"), repr(status))
    [line] = checked(shipped)
    assert f"its row says {status!r}" in line and f"{status!r} → SUCCESS" in line


def test_a_skip_whose_row_was_deleted_is_not_taken_for_applied(project: Project) -> None:
    project.wrapped(a=SOURCE.format("a"), b="SELECT 1/0;\n", c=SOURCE.format("c"))
    project.ok("pgpipe", "skip", "b", "--reason", "later")
    project.ok("upgrade", "head")
    project.query("DELETE FROM migrations WHERE migration_name = 'b'")
    refused(project.upgrade(), B, "skipped it", "no row → SKIPPED")
    assert project.ledger() == {"a": "SUCCESS", "c": "SUCCESS"}


def test_a_success_by_hand_is_believed_where_it_had_failed(project: Project) -> None:
    project.wrapped(a="SELECT 1/0;\n", b=SOURCE.format("b"))
    assert project.upgrade().code == 1
    project.query("UPDATE migrations SET applied_status = 'SUCCESS' WHERE id = %s", A)
    assert checked(project) == []
    project.ok("upgrade", "head")
    assert ran(project) == ["b"]


def test_rows_of_another_branch_are_a_note(shipped: Project) -> None:
    shipped.query(
        "INSERT INTO migrations (id, migration_name, applied_status) "
        "VALUES ('0815', 'other', 'SUCCESS')"
    )
    shipped.ok("upgrade", "head")
    [line] = checked(shipped)
    assert line.startswith("note: 1 row of migrations belongs to no revision")
    assert line.endswith("other")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE migrations SET applied_status = 'SUCCESS'",
        "DELETE FROM migrations",
        "TRUNCATE migration_attempts",
        "DELETE FROM alembic_version",
    ],
)
def test_a_source_that_writes_into_the_ledger_is_to_blame_itself(
    project: Project, sql: str
) -> None:
    project.wrapped(a="CREATE TABLE a ();\n", b=f"{sql};\n")
    result = project.upgrade()
    assert result.code == 1
    for said in (
        "alembic/sql/b.sql",
        "(while its version and status were written)",
        "Nothing of this revision was applied",
        "take that out of it",
    ):
        assert said in result.text
    for unwanted in ("Error:", "alembic/versions", "Drop the trigger", "somebody else"):
        assert unwanted not in result.text
    project.source("b", "SELECT 1;\n")
    project.ok("upgrade", "head")


def test_what_became_of_a_step_is_said_where_it_cannot_be_recorded(project: Project) -> None:
    off = "-- pgpipe: transaction = off\n"
    project.wrapped(a=f"{off}DROP TABLE migrations;\nSELECT 1/0;\n")
    result = project.upgrade()
    assert result.code == 1
    assert "alembic/sql/a.sql:3:1" in result.text and "division by zero" in result.text
    assert "1 of 2 statements are done" in result.text
    assert 'relation "public.migrations" does not exist' in result.text


# -- attempts -------------------------------------------------------------------------------


def test_attempts_that_were_pruned_are_no_contradiction(shipped: Project) -> None:
    shipped.query("TRUNCATE migration_attempts")
    assert checked(shipped) == []
    assert "nothing to do" in shipped.ok("upgrade", "head").output


@pytest.mark.parametrize("status", ["ERROR", "RUNNING", "RETRY"])
def test_what_was_begun_and_whose_attempts_were_pruned_does_not_run_again(
    project: Project, status: str
) -> None:
    project.wrapped(a=f"-- pgpipe: transaction = off\n{SOURCE.format('a')}SELECT 1/0;\n")
    assert project.upgrade().code == 1
    project.source("a", SOURCE.format("a"))
    project.query("TRUNCATE migration_attempts")
    project.query("UPDATE migrations SET applied_status = %s", status)
    refused(project.upgrade(), A, f"its row says {status}, no attempt at it is recorded")
    assert contradicted(project) == [A]
    retried = project.alembic("pgpipe", "retry")
    if status == "ERROR":
        assert retried.code == 1 and f"alembic pgpipe repair --applied {A}" in retried.text
    refused(project.upgrade(), A, f"its row says {status}, no attempt at it is recorded")
    assert ran(project) == ["a"]
    project.ok("pgpipe", "repair", "--not-applied", A, "--yes")
    project.ok("upgrade", "head")
    assert ran(project) == ["a", "a"]


@pytest.mark.parametrize("revision", [A, "feedface"])
def test_an_attempt_that_nobody_goes_on_with_is_closed_by_the_next_run(
    shipped: Project, revision: str
) -> None:
    shipped.query(DIED, revision)
    [line] = checked(shipped)
    assert line.startswith("note: ") and line.endswith("the next run closes that")
    assert "nothing to do" in shipped.ok("upgrade", "head").output
    assert shipped.query(
        "SELECT outcome, message FROM migration_attempts WHERE build_number = '7'"
    ) == [("INTERRUPTED", "the run of build 7 died in it")]
    assert checked(shipped) == []


def test_a_dead_run_is_a_note_that_lets_the_pipeline_go_on(project: Project) -> None:
    project.wrapped(a=SOURCE.format("a"))
    project.ok("pgpipe", "skip", "a", "--reason", "to have a ledger")
    project.query("UPDATE migrations SET applied_status = 'RUNNING'")
    project.query(DIED, A)
    [line] = checked(project)
    assert line == (f"note: {A} (a): build 7 died in it; the next 'alembic upgrade' goes on")
    assert project.alembic("pgpipe", "check", "--no-rehearsal").code == 0
    project.ok("upgrade", "head")
    assert checked(project) == []
    assert applied(project) == ["ran"]
