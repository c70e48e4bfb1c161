"""A source that was renamed after it was applied is not applied a second time."""

from __future__ import annotations

from pathlib import Path

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project
from tests.refusal import refused

ROW = "INSERT INTO public.ran VALUES (1);\n"
SAID = f"this is the text of alembic/sql/b.sql, which was applied as {revision_id('b')}"


def rename(project: Project, old: str, new: str) -> Path:
    """Rename a source, and return the new file."""
    folder = project.folder / "alembic/sql"
    return (folder / f"{old}.sql").rename(folder / f"{new}.sql")


def shipped(project: Project) -> None:
    """Ship two sources, of which the second would do harm if it ran again; rename that."""
    project.wrapped(a="CREATE TABLE public.ran (id int);\n", b=ROW)
    project.ok("upgrade", "head")
    rename(project, "b", "c")
    project.ok("pgpipe", "wrap")


def test_a_renamed_source_is_refused(project: Project) -> None:
    shipped(project)
    checked = project.alembic("pgpipe", "check")
    assert checked.code == 6 and f"alembic/sql/c.sql: {SAID}" in checked.output
    refused(project.upgrade(), f"alembic/sql/c.sql: {SAID}", "give it its old name back")
    assert project.scalar("SELECT count(*) FROM ran") == 1
    rename(project, "c", "b")
    [wrapper] = (project.folder / "alembic/versions").glob(f"{revision_id('c')}*")
    wrapper.unlink()
    assert "nothing to do" in project.ok("upgrade", "head").output


def test_what_is_to_run_a_second_time_has_both_files(project: Project) -> None:
    shipped(project)
    project.source("b", ROW)
    project.ok("upgrade", "head")
    assert project.scalar("SELECT count(*) FROM ran") == 2


def test_a_text_that_was_taken_back_may_be_renamed(project: Project) -> None:
    project.wrapped(a="CREATE TABLE public.ran (id int);\n", b=ROW)
    project.source("b", ROW, "DELETE FROM public.ran;\n")
    [wrapper] = (project.folder / "alembic/versions").glob(f"{revision_id('b')}*")
    wrapper.unlink()
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    project.ok("downgrade", "-1")
    next((project.folder / "alembic/versions").glob(f"{revision_id('b')}*")).unlink()
    (project.folder / "alembic/sql/b.down.sql").unlink()
    rename(project, "b", "c")
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert project.status() == {"a": "SUCCESS", "c": "SUCCESS"}


def test_an_emptied_source_says_nothing_about_another(project: Project) -> None:
    project.wrapped(a="-- nothing yet\n")
    project.ok("upgrade", "head")
    rename(project, "a", "b")
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
