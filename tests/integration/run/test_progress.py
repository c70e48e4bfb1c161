"""Progress: a line now and then, or a bar on a terminal, that says how far a step is."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from alembic_pgpipe.watching.progress import Schedule
from tests.project import Project
from tests.roles import new_role
from tests.screen import on_terminal

UPGRADE = (sys.executable, "-m", "alembic", "upgrade", "head")
QUIETLY = (sys.executable, "-m", "alembic", "-q", "upgrade", "head")
AT_ONCE = Schedule(first=0, every=0)
ONCE = Schedule(first=0.5, every=100)
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ROW = "INSERT INTO public.t VALUES (1);\n"
SLOW_INDEX = """\
CREATE TABLE t (id int, filler text) WITH (fillfactor = 10);
ALTER TABLE t ALTER filler SET STORAGE PLAIN;
INSERT INTO t SELECT i, repeat('x', 3000) FROM generate_series(1, 40) i;
CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.03); RETURN $1; END $$;
"""
SLOW_ROWS = """\
CREATE TABLE t (id int, filler text);
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF NEW.id % 1000 = 0 THEN PERFORM pg_sleep(0.05); END IF; RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow();
"""
Scheduled = Callable[[Schedule], None]


@pytest.fixture
def scheduled(monkeypatch: pytest.MonkeyPatch) -> Scheduled:
    """Give a function that sets when lines are said, so that no test waits for them."""
    return lambda to: monkeypatch.setattr("alembic_pgpipe.run.runner.SCHEDULE", to)


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """Give a role that sees of nobody, not even of the login, what a session does."""
    with new_role(project, "owner_") as name:
        project.query(f"GRANT ALL ON SCHEMA public TO {name}")
        project.configure(role=name)
        yield name


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("  … ")]


def kept(project: Project) -> list[str]:
    """Return the lines that the build's log has; its file has the same."""
    found = lines(project.scalar("SELECT logs FROM migration_logs"))
    assert found == lines((project.folder / "migration.log").read_text("utf-8"))
    return found


# -- lines -------------------------------------------------------------------------------


def test_an_index_build_says_what_the_server_says(
    project: Project, scheduled: Scheduled
) -> None:
    project.query(SLOW_INDEX)
    scheduled(ONCE)
    project.wrapped(a1="CREATE INDEX ON t (slow(id));\n")
    result = project.ok("upgrade", "head")
    [line] = lines(result.output)
    assert re.fullmatch(
        r"  … a1: statement 1 of 1, 0 s; building index: scanning table, "
        r"\d+ % \([\d,]+ of 40 blocks\)",
        line,
    ), line
    assert kept(project) == [line]


def test_a_run_as_another_role_is_told_so_too(
    project: Project, role: str, scheduled: Scheduled
) -> None:
    project.query(SLOW_INDEX + f"ALTER TABLE t OWNER TO {role}")
    scheduled(ONCE)
    project.wrapped(a1="CREATE INDEX ON t (slow(id));\n")
    [line] = lines(project.ok("upgrade", "head").output)
    assert "; building index: scanning table, " in line


def test_a_run_that_may_not_see_what_it_does_goes_on(
    project: Project, role: str, scheduled: Scheduled, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.query(SLOW_INDEX + f"ALTER TABLE t OWNER TO {role}")
    scheduled(ONCE)
    monkeypatch.setattr("alembic_pgpipe.sending.driver.BRIEFLY", "")
    project.wrapped(a1="CREATE INDEX ON t (slow(id));\n")
    assert lines(project.ok("upgrade", "head").output) == ["  … a1: statement 1 of 1, 0 s"]


def test_a_copy_says_how_many_rows_and_bytes(project: Project, scheduled: Scheduled) -> None:
    project.query(SLOW_ROWS)
    scheduled(ONCE)
    rows = "".join(f"{i}\t{'x' * 100}\n" for i in range(1, 30_001))
    project.wrapped(a1=f"SELECT 1;\nCOPY t FROM STDIN;\n{rows}\\.\n")
    [line] = lines(project.ok("upgrade", "head").output)
    assert re.fullmatch(
        r"  … a1: statement 2 of 2, [01] s; COPY FROM: [\d,]+ rows, \d\.\d MB", line
    ), line
    assert project.scalar("SELECT count(*) FROM t") == 30_000


def test_a_source_in_batches_says_how_many_statements_are_done(
    project: Project, scheduled: Scheduled
) -> None:
    project.query("CREATE TABLE t (id int)")
    scheduled(AT_ONCE)
    project.wrapped(a1=ROW * 4_500)
    said = lines(project.ok("upgrade", "head").output)
    numbers = [re.sub(r", \d+ s.*", "", line) for line in said]
    assert list(dict.fromkeys(numbers)) == [
        f"  … a1: statement {number} of 4,500" for number in ("1", "2,001", "4,001")
    ]


@pytest.mark.parametrize("header", ["", "-- pgpipe: database = template1\n"])
def test_so_does_one_outside_a_transaction(
    project: Project, scheduled: Scheduled, header: str
) -> None:
    scheduled(AT_ONCE)
    project.wrapped(a1=f"{header}-- pgpipe: transaction = off\nSELECT 1;\nSELECT 2;\n")
    said = lines(project.ok("upgrade", "head").output)
    assert said == ["  … a1: statement 1 of 2, 0 s", "  … a1: statement 2 of 2, 0 s"]


def test_a_question_that_cannot_be_asked_hurts_nothing(
    project: Project, scheduled: Scheduled
) -> None:
    scheduled(AT_ONCE)
    # The views of the server's activity need this catalogue.
    project.wrapped(a1="LOCK TABLE pg_catalog.pg_database;\nSELECT pg_sleep(0.5);\n")
    began = time.monotonic()
    said = lines(project.ok("upgrade", "head").output)
    assert time.monotonic() - began < 6
    assert said[0] == "  … a1: statement 1 of 2, 0 s"
    assert all(";" not in line for line in said)


def test_a_short_step_says_nothing(project: Project) -> None:
    project.wrapped(a1="SELECT pg_sleep(0.3);\n")
    assert lines(project.ok("upgrade", "head").output) == []
    assert kept(project) == []


def test_quietly_the_log_alone_has_the_lines(project: Project, scheduled: Scheduled) -> None:
    scheduled(AT_ONCE)
    project.wrapped(a1="SELECT 1;\n")
    assert project.ok("-q", "upgrade", "head").text == ""
    assert kept(project) == ["  … a1: statement 1 of 1, 0 s"]


# -- the bar -----------------------------------------------------------------------------

NOTICE = "DO $$ BEGIN RAISE NOTICE 'meanwhile'; END $$;\n"


def left(screen: str) -> list[str]:
    """Return the lines that a terminal shows in the end, once bars have been erased."""
    shown = [""]
    row = 0
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\n|\r)", screen):
        if part == "\n":
            row += 1
            shown += [""] * (row + 1 - len(shown))
        elif part == "\x1b[2K":
            shown[row] = ""
        elif part == "\x1b[1A":
            row -= 1
        elif part and part != "\r" and not part.startswith("\x1b"):
            shown[row] += part
    return [line.rstrip() for line in shown if line.strip()]


def clean(screen: str) -> bool:
    """Tell whether the cursor is there at the end, and no piece of a bar."""
    ends = screen.rfind("\x1b[?25h") >= screen.rfind("\x1b[?25l")
    return ends and not any(sign in "\n".join(left(screen)) for sign in "━╸╺")


def test_a_bar_moves_on_a_terminal_and_leaves_no_trace(project: Project) -> None:
    project.query(SLOW_INDEX)
    project.wrapped(
        a1=f"{NOTICE}SELECT pg_sleep(0.6);\n{NOTICE}CREATE INDEX ON t (slow(id));\n"
    )
    code, screen = on_terminal(project, 60, *UPGRADE)
    assert code == 0
    assert "━" in screen
    assert re.search(r"4/4 · \d+ % building index: scanning table", CONTROL.sub("", screen))
    assert clean(screen)
    shown = left(screen)
    assert [line for line in shown if "meanwhile" in line] == ["NOTICE:  meanwhile"] * 2
    assert re.fullmatch(r"  applied in .* 4 statements", shown[-1])
    assert max(len(line) for line in CONTROL.sub("", screen).splitlines() if "━" in line) <= 60


@pytest.mark.parametrize(
    ("command", "env"),
    [(QUIETLY, {}), (UPGRADE, {"CI": "true"}), (UPGRADE, {"TERM": "dumb"})],
    ids=["quiet", "CI", "dumb"],
)
def test_no_bar_where_nobody_wants_one(
    project: Project, command: tuple[str, ...], env: dict[str, str]
) -> None:
    project.wrapped(a1="SELECT pg_sleep(0.8);\n")
    code, screen = on_terminal(project, 80, *command, env=env)
    assert code == 0
    assert "━" not in screen
    assert "\x1b" not in screen
    if command is QUIETLY:
        assert screen == ""


def test_ctrl_c_leaves_the_terminal_clean(project: Project) -> None:
    project.wrapped(a1="SELECT pg_sleep(60);\n")
    code, screen = on_terminal(project, 80, *UPGRADE, stop_at="━")
    assert code == 130
    assert clean(screen)
    assert "stopped: nothing of this revision was applied" in screen


def test_a_failure_leaves_it_clean(project: Project) -> None:
    project.wrapped(a1="SELECT 1 / n FROM (SELECT 0 AS n, pg_sleep(0.8)) AS s;\n")
    code, screen = on_terminal(project, 80, *UPGRADE)
    assert code == 1
    assert "━" in screen
    assert clean(screen)
    assert "22012 division_by_zero" in "\n".join(left(screen))


def test_what_a_revision_prints_behind_its_source_is_not_erased(project: Project) -> None:
    project.wrapped(a1="SELECT pg_sleep(0.8);\n")
    [path] = project.folder.glob("alembic/versions/*.py")
    call = "op.run_source(source)"
    path.write_text(path.read_text().replace(call, f"{call}\n    print('of mine', flush=True)"))
    code, screen = on_terminal(project, 80, *UPGRADE)
    assert code == 0
    assert "━" in screen
    assert "of mine" in left(screen)
