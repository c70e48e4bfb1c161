"""Files that are none, and wrong revisions: a sentence, never a wait or a traceback."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project
from tests.refusal import applied, refused

TABLE = "CREATE TABLE public.{0} (id int);\n"
SOURCE = "alembic/sql/bad.sql"
COMMANDS = (("pgpipe", "wrap"), ("pgpipe", "check", "--no-rehearsal"), ("pgpipe", "status"))
PATIENCE = 60
Spoil = Callable[[Project], None]


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Fail a test that waits for a pipe."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        pytest.fail("it hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def wrapper(project: Project) -> Path:
    """Return the wrapper of bad.sql."""
    [path] = project.folder.glob(f"alembic/versions/{revision_id('bad')}_*.py")
    return path


def instead(project: Project, make: Callable[[Path], None]) -> None:
    """Put something in the place of the source."""
    (project.folder / SOURCE).unlink()
    make(project.folder / SOURCE)


# -- sources ------------------------------------------------------------------------------


def fifo(project: Project) -> None:
    instead(project, os.mkfifo)


def device(project: Project) -> None:
    instead(project, lambda path: os.mknod(path, 0o20666, os.makedev(1, 5)))


def unix_socket(project: Project) -> None:
    (project.folder / SOURCE).unlink()
    # A whole path would be too long for a socket.
    with project._inside(), socket.socket(socket.AF_UNIX) as opened:
        opened.bind(SOURCE)


def folder(project: Project) -> None:
    instead(project, Path.mkdir)


def link_to_itself(project: Project) -> None:
    instead(project, lambda path: path.symlink_to("bad.sql"))


def link_to_a_device(project: Project) -> None:
    instead(project, lambda path: path.symlink_to("/dev/zero"))


def link_out(project: Project) -> None:
    outside = project.folder.parent / f"{project.folder.name}-outside.sql"
    outside.write_text(TABLE.format("outside"))
    instead(project, lambda path: path.symlink_to(outside))


def link_to_nowhere(project: Project) -> None:
    instead(project, lambda path: path.symlink_to("nowhere.sql"))


def long_name(project: Project) -> None:
    path = wrapper(project)
    path.write_text(path.read_text().replace("bad.sql", "b" * 300 + ".sql"))


def include_a_pipe(project: Project) -> None:
    os.mkfifo(project.folder / "pipe.sql")
    project.write(SOURCE, "\\i pipe.sql\n")


ODD = [
    (fifo, "this is not a regular file"),
    (device, "this is not a regular file"),
    (unix_socket, "this is not a regular file"),
    (folder, "this is a folder; name the SQL file in it"),
    (link_to_itself, "Too many levels of symbolic links"),
    (link_to_a_device, "leads outside the project"),
    (link_out, "leads outside the project"),
    (link_to_nowhere, "there is no such file"),
    (long_name, "File name too long"),
    (include_a_pipe, "\\i pipe.sql: this is not a regular file"),
]


@pytest.mark.parametrize(
    ("spoil", "words"), ODD, ids=lambda value: getattr(value, "__name__", "")
)
def test_an_odd_source_is_refused_by_name_before_anything_runs(
    project: Project, spoil: Spoil, words: str
) -> None:
    project.wrapped(a=TABLE.format("a"), bad=TABLE.format("bad"))
    try:
        spoil(project)
    except PermissionError:
        pytest.skip("only root may make this file")
    check = project.alembic("pgpipe", "check", "--no-rehearsal")
    assert check.code == 6
    assert words in check.output
    assert project.status() == {"a": "WAITING", Path(source(project)).stem: "WAITING"}
    refused(project.upgrade(), "1 revision cannot run", words, "Then: alembic upgrade head")
    assert applied(project) == []
    assert project.ledger()["a"] == "WAITING"


def source(project: Project) -> str:
    """Return the source that the wrapper names."""
    found = re.search("^source = '(.*)'$", wrapper(project).read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path.name)])
def test_an_odd_file_without_a_wrapper_keeps_no_other_from_being_wrapped(
    project: Project, make: Callable[[Path], None]
) -> None:
    make(project.folder / "alembic/sql/odd.sql")
    project.wrapped(a=TABLE.format("a"))
    result = project.alembic("pgpipe", "check", "--no-rehearsal")
    assert result.code == 6
    assert "alembic/sql/odd.sql: this" in result.output
    assert "1 problem" in result.output


def test_the_folders_of_a_project_may_be_links(project: Project) -> None:
    for name in ("sql", "versions"):
        elsewhere = project.folder.parent / f"{project.folder.name}-{name}"
        (project.folder / "alembic" / name).rename(elsewhere)
        (project.folder / "alembic" / name).symlink_to(elsewhere)
    (project.folder / "alembic/sql/loop").symlink_to(".")
    project.wrapped(a=TABLE.format("a"))
    project.ok("upgrade", "head")
    assert applied(project) == ["a"]


def test_a_pipe_as_the_log_file_does_not_keep_a_run_waiting(project: Project) -> None:
    os.mkfifo(project.folder / "migration.log")
    project.wrapped(a=TABLE.format("a"))
    project.ok("upgrade", "head")


@pytest.mark.parametrize("name", ["f.v001.sql", "2026_f.routines.sql"])
def test_a_pipe_among_the_snapshots_does_not_keep_wrap_waiting(
    project: Project, name: str
) -> None:
    os.mkfifo(project.folder / "alembic/sql" / name)
    assert f"alembic/sql/{name}" in project.alembic("pgpipe", "check", "--no-rehearsal").output


# -- replaced between check and run -------------------------------------------------------


def test_a_source_that_is_replaced_during_the_run_is_not_run(project: Project) -> None:
    project.wrapped(a="SELECT 1;\n", b=TABLE.format("checked"))
    [path] = project.folder.glob(f"alembic/versions/{revision_id('a')}_*.py")
    swap = "from pathlib import Path; Path('alembic/sql/b.sql').write_text('{}')"
    path.write_text(
        path.read_text().replace(
            "op.run_source(source)", swap.format(TABLE.format("swapped").strip())
        )
    )
    refused(project.upgrade(), "b.sql: this file was changed after it had been checked")
    assert applied(project) == []
    assert project.ledger() == {"a": "SUCCESS", "b": "ERROR"}
    project.ok("upgrade", "head")
    assert applied(project) == ["swapped"]


# -- revisions ----------------------------------------------------------------------------


def pipe(project: Project) -> None:
    os.mkfifo(project.folder / "alembic/versions/odd.py")


def loop(project: Project) -> None:
    (project.folder / "alembic/versions/odd.py").symlink_to("odd.py")


def dangling(project: Project) -> None:
    (project.folder / "alembic/versions/odd.py").symlink_to("nowhere.py")


def empty(project: Project) -> None:
    project.write("alembic/versions/odd.py", "")


def leaves(project: Project) -> None:
    project.write("alembic/versions/odd.py", "import sys\nsys.exit(0)\n")


def twin(project: Project) -> None:
    text = wrapper(project).read_text().replace("bad.sql", "other.sql")
    project.write("alembic/versions/odd.py", text)


def orphan(project: Project) -> None:
    replace(project, f"down_revision = {revision_id('a')!r}", "down_revision = 'n\\x1b[1mo'")


def nothing_below(project: Project) -> None:
    replace(project, f"down_revision = {revision_id('a')!r}", "down_revision = ''")


def control_in_source(project: Project) -> None:
    replace(project, "'bad.sql'", "'b\\x1b[2Jad.sql'")


def nul_in_source(project: Project) -> None:
    replace(project, "'bad.sql'", "'b\\0ad.sql'")


def no_text_in_source(project: Project) -> None:
    replace(project, "'bad.sql'", "'b\\udcffad.sql'")


def no_text_in_id(project: Project) -> None:
    replace(project, f"revision = {revision_id('bad')!r}", "revision = 'b\\udcff'")


def quote_in_id(project: Project) -> None:
    replace(project, f"revision = {revision_id('bad')!r}", 'revision = "b\'; DROP"')


def replace(project: Project, old: str, new: str) -> None:
    """Change the wrapper of bad.sql."""
    text = wrapper(project).read_text()
    assert old in text
    wrapper(project).write_text(text.replace(old, new, 1))


WRONG = [
    (pipe, "alembic/versions/odd.py: this is not a regular file"),
    (loop, "alembic/versions/odd.py: this is not a regular file"),
    (dangling, "alembic/versions/odd.py: this is not a regular file"),
    (empty, "Could not determine revision id from filename odd.py"),
    (leaves, "alembic/versions/odd.py:2: this revision cannot be read: SystemExit: 0"),
    (twin, f"odd.py: revision {revision_id('bad')} is there more than once"),
    (orphan, "no file has revision n␛[1mo, which another builds on"),
    (nothing_below, "no file has revision '', which another builds on"),
    (control_in_source, "its source 'b\\x1b[2Jad.sql' holds characters that cannot be stored"),
    (nul_in_source, "its source 'b\\x00ad.sql' holds characters that cannot be stored"),
    (no_text_in_source, "its source 'b\\udcffad.sql' holds characters that cannot be stored"),
    (no_text_in_id, "its id 'b\\udcff' holds characters that cannot be stored"),
    (quote_in_id, 'its id "b\'; DROP" holds characters that cannot be stored'),
]


@pytest.mark.parametrize(
    ("spoil", "words"), WRONG, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_wrong_revision_is_refused_by_name_before_anything_runs(
    project: Project, spoil: Spoil, words: str
) -> None:
    project.wrapped(a=TABLE.format("a"), bad=TABLE.format("bad"))
    spoil(project)
    for command in (*COMMANDS, ("upgrade", "head")):
        refused(project.alembic(*command), words, "Nothing was run", "alembic pgpipe check")
    assert applied(project) == []


def test_a_twin_in_the_middle_of_the_history_is_not_lost_without_a_word(
    project: Project,
) -> None:
    project.wrapped(a=TABLE.format("a"), bad=TABLE.format("bad"), c=TABLE.format("c"))
    project.source("other", TABLE.format("other"))
    twin(project)
    refused(project.upgrade(), "is there more than once")
    (project.folder / "alembic/versions/odd.py").unlink()
    project.ok("upgrade", "head")
    assert applied(project) == ["a", "bad", "c"]


def test_two_revisions_of_one_source_are_a_problem(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"), bad="SELECT 1;\n")
    own, base = revision_id("bad"), revision_id("a")
    text = wrapper(project).read_text().replace(f"'{own}'", "'again'")
    project.write("alembic/versions/odd.py", text.replace(f"'{base}'", f"'{own}'"))
    result = project.alembic("pgpipe", "check", "--no-rehearsal")
    assert result.code == 6
    assert "alembic/versions/odd.py: runs bad.sql, as alembic/versions/" in result.output


def test_a_revision_that_exits_is_a_failure(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"), bad=TABLE.format("bad"))
    replace(project, "op.run_source(source)", "raise SystemExit(0)")
    refused(project.upgrade(), revision_id("bad"), "this revision left the program")
    assert project.ledger() == {"a": "SUCCESS", "bad": "ERROR"}
    assert project.scalar("SELECT status FROM migration_logs") == "FAILURE"
