"""Sources that cannot be read or may not run: refused before anything runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project
from tests.refusal import applied, refused

TABLE = "CREATE TABLE public.{0} (id int);\n"
SOURCE = "alembic/sql/bad.sql"


def wrapper(project: Project, name: str) -> Path:
    """Return the file of a source's wrapper."""
    [path] = project.folder.glob(f"alembic/versions/{revision_id(name)}_*.py")
    return path


def point_to(project: Project, file: str) -> None:
    """Let the wrapper of bad.sql name another file."""
    path = wrapper(project, "bad")
    path.write_text(path.read_text().replace("bad.sql", file))


def other(project: Project) -> Path:
    """Write a source outside the project; return its path."""
    path = project.folder.parent / f"{project.folder.name}-other.sql"
    path.write_text(TABLE.format("outside"))
    return path


def remove(project: Project) -> None:
    (project.folder / SOURCE).unlink()


def save_as_latin1(project: Project) -> None:
    (project.folder / SOURCE).write_bytes("SELECT 1;\nSELECT 'é';\n".encode("latin-1"))


def write_a_nul(project: Project) -> None:
    (project.folder / SOURCE).write_bytes(b"SELECT 1;\nSELECT '\0';\n")


def climb_out(project: Project) -> None:
    point_to(project, os.path.relpath(other(project), project.folder / "alembic/sql"))


def name_it_absolutely(project: Project) -> None:
    point_to(project, str(other(project)))


def link_out(project: Project) -> None:
    remove(project)
    (project.folder / SOURCE).symlink_to(other(project))


def misspell_a_directive(project: Project) -> None:
    project.write(SOURCE, "-- pgpipe: lok_timeout = 3s\nSELECT 1;\n")


def copy_to_nobody(project: Project) -> None:
    project.write(SOURCE, "SELECT 1;\n  COPY pg_class TO STDOUT;\n")


@dataclass(frozen=True)
class Bad:
    """How a source is spoilt, and what is said of it."""

    spoil: Callable[[Project], None]
    where: str
    words: str


BAD = [
    Bad(remove, f"{SOURCE}:", "there is no such file; restore it"),
    Bad(save_as_latin1, f"{SOURCE}:2:9:", "save the file as UTF-8"),
    Bad(write_a_nul, f"{SOURCE}:2:9:", "NUL byte, which PostgreSQL cannot store; remove it"),
    Bad(climb_out, "-other.sql:", "leads outside the project; copy the file into it"),
    Bad(name_it_absolutely, "-other.sql:", "leads outside the project; copy the file into it"),
    Bad(link_out, f"{SOURCE}:", "leads outside the project; copy the file into it"),
    Bad(misspell_a_directive, f"{SOURCE}:1:1:", "'lok_timeout'; did you mean lock_timeout?"),
    Bad(copy_to_nobody, f"{SOURCE}:2:3:", "write them to a file on the server"),
]


@pytest.fixture(params=BAD, ids=lambda bad: bad.spoil.__name__)
def bad(request: pytest.FixtureRequest) -> Bad:
    """Give each way in which a source can be bad."""
    given: Bad = request.param
    return given


def spoilt(project: Project, bad: Bad) -> Project:
    """Spoil the second of two pending sources."""
    project.wrapped(a=TABLE.format("a"), bad="SELECT 1;\n")
    bad.spoil(project)
    return project


def test_a_bad_source_is_refused_before_anything_runs(project: Project, bad: Bad) -> None:
    line = refused(
        spoilt(project, bad).upgrade(),
        "Nothing was run: 1 revision cannot run as written",
        revision_id("bad"),
        bad.where,
        bad.words,
    )
    assert line.endswith(". Then: alembic upgrade head")
    assert applied(project) == []


def test_a_bad_source_is_error_in_the_ledger_and_the_build_is_closed(
    project: Project, bad: Bad
) -> None:
    spoilt(project, bad).upgrade()
    rows = dict(project.query("SELECT id, logs FROM migrations WHERE applied_status = 'ERROR'"))
    assert list(rows) == [revision_id("bad")]
    assert bad.words in rows[revision_id("bad")]
    [(status, logs)] = project.query("SELECT status, logs FROM migration_logs")
    assert status == "FAILURE"
    assert bad.words in logs


def test_a_bad_source_is_found_by_check_without_a_trace_in_the_database(
    project: Project, bad: Bad
) -> None:
    result = spoilt(project, bad).alembic("pgpipe", "check")
    assert result.code == 6, result.text
    assert bad.where in result.output
    assert bad.words in result.output
    assert project.query("SELECT to_regclass('migrations')") == [(None,)]


def test_a_bad_source_that_is_mended_goes_on(project: Project, bad: Bad) -> None:
    spoilt(project, bad).upgrade()
    spoilt_file = project.folder / SOURCE
    spoilt_file.unlink(missing_ok=True)
    project.write(SOURCE, TABLE.format("mended"))
    path = wrapper(project, "bad")
    path.write_text(
        "\n".join(
            'source = "bad.sql"' if line.startswith("source =") else line
            for line in path.read_text().splitlines()
        )
    )
    result = project.upgrade()
    assert result.code == 0, result.text
    assert applied(project) == ["a", "mended"]


def test_a_bad_source_that_is_not_mended_is_held_without_an_offer_to_retry(
    project: Project,
) -> None:
    project.wrapped(a="SELECT '")
    project.upgrade()
    result = project.upgrade()
    words = ("1 revision failed before", "Edit alembic/sql/a.sql and run again, or:")
    refused(result, *words, code=3)
    assert "pgpipe retry" not in result.text
    assert result.text.count("run again, or:") == 1


def test_every_bad_source_is_named_at_once(project: Project) -> None:
    project.wrapped(
        a="COMMIT;\nSELECT 1;\n", b="SELECT '", c="-- pgpipe: rule = x\nSELECT 1;\n"
    )
    result = project.upgrade()
    refused(result, "3 revisions cannot run as written")
    assert "pgpipe retry" not in result.text
    for name in ("a", "b", "c"):
        assert f"refused: {revision_id(name)} {name}\n" in result.text
        assert project.ledger()[name] == "ERROR"


def test_a_source_of_another_folder_of_the_project_runs(project: Project) -> None:
    project.wrapped(bad="SELECT 1;\n")
    project.write("elsewhere/other.sql", TABLE.format("elsewhere"))
    point_to(project, "../../elsewhere/other.sql")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert applied(project) == ["elsewhere"]


# -- edited after it was applied ------------------------------------------------------------


def edited(project: Project, text: str | None) -> Project:
    """Edit, or remove, a source that build 4 has applied."""
    project.wrapped(a=TABLE.format("a"))
    project.ok("upgrade", "head", env={"GITHUB_RUN_NUMBER": "4", "GITHUB_RUN_ID": "904"})
    path = project.folder / "alembic/sql/a.sql"
    path.unlink() if text is None else path.write_text(text)
    return project


def test_a_source_edited_after_it_was_applied_is_named_by_check(project: Project) -> None:
    result = edited(project, TABLE.format("b")).alembic("pgpipe", "check")
    assert result.code == 6
    assert (
        "alembic/sql/a.sql: its source differs from what build 4 applied. "
        "Put its text back, and ship the change as a new source." in result.output
    )


def test_a_source_edited_after_it_was_applied_is_named_by_status(project: Project) -> None:
    edited(project, TABLE.format("b"))
    assert "differs from what build 4 applied" in project.ok("pgpipe", "status").output
    [state] = json.loads(project.ok("pgpipe", "status", "--json").output)["revisions"]
    assert state["notes"] == ["its source differs from what build 4 applied"]


def test_a_source_removed_after_it_was_applied_is_named(project: Project) -> None:
    result = edited(project, None).alembic("pgpipe", "check")
    assert result.code == 6
    assert "alembic/sql/a.sql: its source is gone or cannot be read" in result.output


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffCREATE TABLE public.a (id int);\r\n",
        "--retry\n-- pgpipe: lock_timeout = 3s\nCREATE TABLE public.a (id int);\n",
    ],
    ids=["line ends and a BOM", "directives"],
)
def test_what_is_no_edit_is_not_called_one(project: Project, text: str) -> None:
    assert edited(project, text).alembic("pgpipe", "check").code == 0


def test_another_directive_that_is_wrong_is_named_and_not_the_one_before(
    project: Project,
) -> None:
    project.wrapped(a="-- pgpipe: lock_timout = 1s\nSELECT 1;\n")
    assert "lock_timout" in project.upgrade().text
    project.source("a", "-- pgpipe: lock_timeout = 1 fortnight\nSELECT 1;\n")
    result = project.upgrade()
    assert result.code == 1
    assert "fortnight" in result.text and "lock_timout" not in result.text


# -- downwards -------------------------------------------------------------------------------


def test_a_downgrade_names_all_that_have_no_undo(project: Project) -> None:
    project.source("a0", "SELECT 1;\n", "SELECT 1;\n")
    project.wrapped(**{f"a{n}": "SELECT 1;\n" for n in range(1, 9)})
    project.ok("upgrade", "head")
    said = refused(project.alembic("downgrade", "-1"), "a8.down.sql: there is no such file")
    assert "Nor can" not in said and "restore" not in said
    said = refused(project.alembic("downgrade", "-3"), "Nor can 2 other revisions: ")
    assert "(a7), " in said and "(a6). Nothing was run." in said
    said = refused(project.alembic("downgrade", "base"), "Nor can 7 other revisions: ")
    assert "(a3), …. Nothing was run." in said and "(a0)" not in said


def test_the_beginning_of_several_ids_is_no_name(project: Project) -> None:
    functions = "def upgrade(): pass\ndef downgrade(): pass\n"
    for number, below in ((1, None), (2, "abc1")):
        ids = f"revision = 'abc{number}'\ndown_revision = {below!r}\n"
        project.write(f"alembic/versions/{number}.py", f"{ids}{functions}")
    for command in ("upgrade", "downgrade", "stamp"):
        refused(project.alembic(command, "abc"), "'abc' may be any of abc1 (1), abc2 (2).")


def test_a_stamp_that_changes_nothing_says_so(project: Project) -> None:
    project.wrapped(a="SELECT 1;\n")
    project.ok("upgrade", "head")
    said = "stamped: what counts as applied stays as it was"
    assert said in project.ok("stamp", "--purge", "head").output
