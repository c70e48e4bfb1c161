"""Big outputs: a step, an error or a build that says too much fails nothing by that."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine

from alembic_pgpipe.ledger.build_rows import BuildRows
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.model import Build
from alembic_pgpipe.run.build_log import BuildLog
from alembic_pgpipe.run.log_file import GROWTH
from alembic_pgpipe.run.quota import HELD_BACK
from alembic_pgpipe.showable import ENTRY, FILE, NOTE, ROW, STEP, WORDS
from tests.project import Project

MEGABYTE = 1 << 20
# What a process needs at its most, in kB; only Linux tells.
PEAK = """\
import sys
from alembic.config import main
try:
    main(sys.argv[1:])
finally:
    [peak] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print(peak, file=sys.stderr)
"""
on_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
TABLE = "CREATE TABLE IF NOT EXISTS t (id int);\n"
# The driver itself needs seven to eight times an error's size, before it raises it.
DRIVER = 9


def peak_of(project: Project, *arguments: str) -> tuple[int, str]:
    """Return the memory that a command needs, in bytes, and what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"VmHWM:\s+(\d+) kB", done.stderr)
    assert found is not None, done.stderr
    return int(found[1]) * 1024, done.stdout


def file_of(project: Project) -> str:
    """Return the log file."""
    return (project.folder / "migration.log").read_text("utf-8")


def row_of(project: Project) -> tuple[str, str]:
    """Return the only build's log and outcome."""
    [(logs, status)] = project.query("SELECT logs, status FROM migration_logs")
    return logs, status


@on_linux
def test_an_error_of_any_size_needs_no_more_than_the_driver_does(project: Project) -> None:
    size = 12 * MEGABYTE
    project.wrapped(a="SELECT 1;\n")
    usual, _ = peak_of(project, "upgrade", "head")
    # Short statements share a message, which is repeated: the error comes twice.
    project.wrapped(
        b=f"{TABLE}INSERT INTO t VALUES (1);\n"
        f"INSERT INTO t VALUES (repeat('x', {size})::int);\n"
    )
    peak, output = peak_of(project, "upgrade", "head")
    assert peak - usual < DRIVER * size
    assert len(output) < 4 * WORDS.most


def test_an_error_of_any_size_is_shortened_wherever_it_is_shown(project: Project) -> None:
    project.wrapped(
        a="DO $$ BEGIN RAISE EXCEPTION '%', repeat('xyz ', 2000000) USING DETAIL = "
        "repeat('d', 2000000), HINT = 'the hint'; END $$;\n"
    )
    result = project.upgrade()
    assert result.code == 1
    [(logs,)] = project.query("SELECT logs FROM migrations")
    [(message,)] = project.query("SELECT message FROM migration_attempts")
    assert message == logs
    for shown in (result.text, logs, row_of(project)[0], file_of(project)):
        assert len(shown) < ENTRY.most
        assert "\nHINT: the hint\n" in shown
        assert f"… {8_000_000 - WORDS.head - WORDS.tail:,} characters are left out" in shown
        assert "alembic pgpipe retry" in shown
    assert row_of(project)[1] == "FAILURE"
    assert "P0001 raise_exception" in project.ok("pgpipe", "status").output
    assert project.upgrade().code == 3


def test_a_python_revision_may_raise_an_endless_error(project: Project) -> None:
    project.wrapped(a="SELECT 1;\n")
    [path] = project.folder.glob("alembic/versions/*.py")
    endless = f"raise ValueError('x' * {5 * MEGABYTE})"
    path.write_text(path.read_text().replace("op.run_source(source)", endless))
    result = project.upgrade()
    assert result.code == 1
    for shown in (result.text, row_of(project)[0], file_of(project)):
        assert len(shown) < 3 * ENTRY.most
        assert "ValueError: xxx" in shown
        assert NOTE.search(shown)


@on_linux
def test_ten_megabytes_of_notices_leave_the_middle_out(project: Project) -> None:
    project.wrapped(a="SELECT 1;\n")
    usual, _ = peak_of(project, "upgrade", "head")
    count = 100_000
    project.wrapped(
        b=f"DO $$ BEGIN FOR n IN 1..{count} LOOP RAISE NOTICE 'mark % %', n, "
        "repeat('x', 90); END LOOP; END $$;\n"
    )
    peak, output = peak_of(project, "upgrade", "head")
    assert peak - usual < 8 * MEGABYTE
    for shown in (output, row_of(project)[0], file_of(project)):
        assert len(shown) < STEP.most + 10_000
        assert "NOTICE:  mark 1 xxx" in shown
        assert f"NOTICE:  mark {count} xxx" in shown
        assert HELD_BACK in shown
        [left_out] = NOTE.findall(shown)
        assert int(left_out.replace(",", "")) > 10_000_000
    assert row_of(project)[1] == "SUCCESS"


def test_the_last_notices_come_before_the_error(project: Project) -> None:
    project.wrapped(
        a="DO $$ BEGIN FOR n IN 1..40 LOOP RAISE NOTICE 'mark % %', n, repeat('x', 9000); "
        "END LOOP; RAISE EXCEPTION 'over'; END $$;\n"
    )
    output = project.upgrade().output
    assert output.index("mark 1 ") < output.index("left out") < output.index("mark 40 ")
    assert output.index("mark 40 ") < output.index("\nover\n")


# -- a build's log ------------------------------------------------------------------------


@pytest.fixture
def builds(project: Project) -> BuildRows:
    """Give a ledger to write a log into."""
    connection: Connection = create_engine(project.url).connect()
    connection.execution_options(isolation_level="AUTOCOMMIT")
    made = Recorder.on(connection, "public")
    made.relations.create()
    return made.builds


def speak(log: BuildLog, size: int) -> None:
    """Say something of that size in the end, entry by entry."""
    line = "x" * 999 + "\n"
    for number in range(size // 50_000):
        log.say(f"entry {number}\n" + line * 49)


def test_a_log_of_fifty_megabytes_leaves_its_middle_out(
    project: Project, builds: BuildRows
) -> None:
    file = project.folder / "migration.log"
    size = 50 * MEGABYTE
    with BuildLog(Build("7", "id"), file, lambda _: None) as log, log.recorded_in(builds):
        speak(log, size)
    builds.connection.close()
    logs, status = row_of(project)
    assert status == "SUCCESS"
    for shown, limit in ((logs, ROW), (file_of(project), FILE)):
        assert len(shown) <= GROWTH * limit.most + ENTRY.most
        assert "entry 0\n" in shown
        assert shown.endswith("SUCCESS\n")
        left_out = sum(int(n.replace(",", "")) for n in NOTE.findall(shown))
        assert size - 4_000_000 < left_out + len(shown) < size + 4_000_000
    assert logs.startswith("== build 7 (id), ")
    began = time.monotonic()
    assert "left out" in project.ok("pgpipe", "log", "7").output
    kept = json.loads(project.ok("pgpipe", "log", "7", "--json").output)["logs"]
    assert kept == logs
    assert time.monotonic() - began < 10


def test_what_waits_for_a_database_that_is_away_does_not_pile_up(tmp_path: Path) -> None:
    log = BuildLog(Build("7", "id"), None, lambda _: None)
    speak(log, 10 * MEGABYTE)
    assert sum(map(len, log._waiting)) <= GROWTH * ROW.most + ENTRY.most


def test_somebody_who_adds_to_a_log_meanwhile_is_not_written_over(
    project: Project, builds: BuildRows
) -> None:
    builds.open_build("7", "one\n", "")

    def change(logs: str) -> str:
        builds.append_log("7", "two\n")
        return logs.replace("one", "lost")

    builds.rewrite_log("7", change)
    builds.connection.close()
    assert row_of(project)[0] == "one\ntwo\n"


def test_a_full_disk_under_the_log_file_fails_no_build(project: Project) -> None:
    project.configure(log_file="/dev/full")
    project.wrapped(a=TABLE)
    assert project.upgrade().code == 0
    logs, status = row_of(project)
    assert status == "SUCCESS"
    assert "applied" in logs
