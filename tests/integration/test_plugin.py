"""The plugin: every way in which people type ``alembic pgpipe …``, and what a shell sees."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from alembic.config import CommandLine

from tests.background import busy_with, in_background
from tests.project import Project
from tests.screen import on_terminal

BESIDE = Path(sys.executable).parent
SCRIPTS = {
    "alembic": (str(BESIDE / "alembic"), "pgpipe"),
    "python -m alembic": (sys.executable, "-m", "alembic", "pgpipe"),
    "alembic-pgpipe": (str(BESIDE / "alembic-pgpipe"),),
}
WAYS = pytest.mark.parametrize("way", SCRIPTS)
TABLE = "CREATE TABLE public.{0} (id int);\n"


def typed(
    project: Project, *command: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Type a command in the project's folder, its output going into a pipe."""
    return subprocess.run(
        command,
        cwd=project.folder,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def failed(project: Project) -> Project:
    project.wrapped(a1=TABLE.format("a"), a2="SELECT 1/0;\n")
    assert project.upgrade().code == 1
    return project


# -- the ways in -------------------------------------------------------------------------------


@WAYS
def test_every_way_in_reaches_the_same_commands(project: Project, way: str) -> None:
    project.wrapped(a1=TABLE.format("a"))
    done = typed(project, *SCRIPTS[way], "status")
    assert done.returncode == 0, done.stderr
    assert "1 WAITING" in done.stdout
    assert done.stderr == ""


def test_the_command_line_object_reaches_them_too(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    with pytest.raises(SystemExit) as end:
        CommandLine(prog="alembic").main(["pgpipe", "wrap", "--check"])
    assert end.value.code == 0
    assert "no SQL file is in alembic/sql yet" in capsys.readouterr().out


@WAYS
def test_help_passes_through(project: Project, way: str) -> None:
    shown = typed(project, *SCRIPTS[way], "skip", "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith("Usage: alembic pgpipe skip [OPTIONS] REV")
    assert "--reason TEXT" in shown.stdout


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_command(project: Project, option: str) -> None:
    shown = project.ok("pgpipe", option).output
    assert shown.startswith("Usage: alembic pgpipe [OPTIONS] COMMAND [ARGS]...")
    for command in ("init", "wrap", "status", "retry", "skip", "log", "check", "wait"):
        assert f"\n  {command} " in shown


def test_alembics_own_help_names_the_group(project: Project) -> None:
    assert "pgpipe" in project.ok("--help").output


def moved(project: Project) -> None:
    """Keep the configuration in a folder of its own, in a section of its own."""
    ini = project.folder / "alembic.ini"
    text = ini.read_text().replace("[alembic]", "[prod]").replace("%(here)s", "%(here)s/..")
    project.write("conf/shop.ini", text)
    ini.unlink()


@WAYS
def test_a_configuration_file_a_section_and_x_are_understood(
    project: Project, way: str
) -> None:
    project.wrapped(a1=TABLE.format("a"))
    moved(project)
    options = ["-c", "conf/shop.ini", "-n", "prod", "-x", "pgpipe.lock_wait=0"]
    command = list(SCRIPTS[way])
    # Alembic's own options stand in front of the name of the group.
    command[len(command) - command.count("pgpipe") :] = [*options, *command[-1:]]
    if way == "alembic-pgpipe":
        command = [*SCRIPTS[way], *options]
    done = typed(project, *command, "check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 pending revision run on a scratch server: no problems" in done.stdout


def test_the_configuration_file_may_be_named_by_a_variable(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    moved(project)
    there = {"ALEMBIC_CONFIG": "conf/shop.ini"}
    done = typed(project, *SCRIPTS["alembic-pgpipe"], "-n", "prod", "check", env=there)
    assert done.returncode == 0, done.stdout + done.stderr


# -- exit codes --------------------------------------------------------------------------------


@WAYS
def test_an_exit_code_reaches_the_shell(project: Project, way: str) -> None:
    project.wrapped(a1="SELECT 1;\nCOMMIT;\n")
    assert typed(project, *SCRIPTS[way], "check").returncode == 6


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("status", 0),
        ("retry nothing", 1),
        ("stauts", 2),
        ("skip a2", 2),
        ("retry a2 --marked", 2),
    ],
)
def test_exit_codes_of_the_group(project: Project, arguments: str, code: int) -> None:
    result = failed(project).alembic("pgpipe", *arguments.split())
    assert result.code == code, result.text
    assert "Traceback" not in result.text


def test_an_exit_code_of_alembics_own_commands_reaches_the_shell(project: Project) -> None:
    held = typed(failed(project), SCRIPTS["alembic"][0], "upgrade", "head")
    assert held.returncode == 3
    assert "FAILED: Nothing was run: 1 revision failed before" in held.stdout + held.stderr


def test_messages_go_to_standard_error_and_answers_to_standard_output(project: Project) -> None:
    result = project.alembic("pgpipe", "retry", "nothing")
    assert result.output == ""
    assert result.errors.startswith("FAILED: No revision goes by 'nothing'.")


def test_raiseerr_raises(project: Project) -> None:
    done = typed(project, SCRIPTS["alembic"][0], "--raiseerr", "pgpipe", "retry", "nothing")
    assert done.returncode == 1
    assert "alembic_pgpipe.errors.RevisionError" in done.stderr


# -- the end of a process ----------------------------------------------------------------------

# What is registered first is called last: this sees how the process was left.
SEEN = """
import atexit, gc, sys

atexit.register(lambda: sys.stderr.write(f"looked away: {gc.get_freeze_count() > 0}"))
"""
# What only the garbage collector can finalize.
CYCLE = """
import gc
from pathlib import Path

class Cycle:
    def __del__(self):
        Path("finalized").touch()

gc.disable()
cycle = Cycle()
cycle.itself = cycle
del cycle
"""


def seen_from(project: Project) -> Mapping[str, str]:
    """Return an environment in which a process tells how it was left."""
    (project.folder / "seen").mkdir()
    (project.folder / "seen/sitecustomize.py").write_text(SEEN)
    return {"PYTHONPATH": str(project.folder / "seen")}


@WAYS
def test_a_process_of_its_own_ends_without_looking_at_all_that_it_has(
    project: Project, way: str
) -> None:
    done = typed(project, *SCRIPTS[way], "status", env=seen_from(project))
    assert done.stderr == "looked away: True"


def test_what_a_project_has_left_as_garbage_is_finalized(project: Project) -> None:
    env = project.folder / "alembic/env.py"
    env.write_text(env.read_text() + CYCLE)
    done = typed(project, SCRIPTS["alembic"][0], "upgrade", "head", env=seen_from(project))
    assert done.stderr == "looked away: True"
    assert (project.folder / "finalized").exists()


@pytest.mark.parametrize(
    "call",
    [
        "from alembic.config import main; main(['heads'])",
        "from alembic.config import main; main(argv=['heads'])",
        "from alembic_pgpipe.cli import main; main(['check', '--help'])",
    ],
)
def test_a_program_that_calls_a_command_ends_as_it_would(project: Project, call: str) -> None:
    done = typed(project, sys.executable, "-c", call, env=seen_from(project))
    assert done.returncode == 0
    assert done.stderr == "looked away: False"


# -- a pipe, and a terminal --------------------------------------------------------------------


def test_a_pipe_gets_one_line_for_each_revision_and_no_colours(project: Project) -> None:
    long = "20260101_" + "a_name_that_a_terminal_would_have_to_fold" * 4
    project.wrapped(**{long: "SELECT 1;\n"})
    done = typed(project, *SCRIPTS["alembic"], "status")
    [line] = [line for line in done.stdout.splitlines() if long in line]
    assert line.split()[1:] == [long, "WAITING"]
    assert "\x1b" not in done.stdout


def test_a_pipe_that_is_closed_early_is_no_traceback(project: Project) -> None:
    project.wrapped(**{f"a{number:04}": "SELECT 1;\n" for number in range(300)})
    alembic = " ".join(SCRIPTS["alembic"])
    done = typed(project, "bash", "-c", f"{alembic} status --all --json | head -n 1")
    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_a_pipe_that_takes_only_ascii_is_no_traceback(project: Project) -> None:
    failed(project)
    plain = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for arguments in ("pgpipe skip a2 --reason later", "upgrade head", "pgpipe log"):
        done = typed(project, SCRIPTS["alembic"][0], *arguments.split(), env=plain)
        assert done.returncode == 0, done.stderr


def test_a_terminal_of_60_columns_is_not_overrun(project: Project) -> None:
    failed(project)
    code, screen = on_terminal(project, 60, *SCRIPTS["alembic"], "status")
    assert code == 0
    assert "22012" in screen
    told = [
        line for line in screen.splitlines() if "next:" not in line and "database" not in line
    ]
    assert max(map(len, told)) <= 60


def test_a_failing_run_at_a_terminal_of_60_columns_can_be_read(project: Project) -> None:
    failed(project)
    code, screen = on_terminal(project, 60, SCRIPTS["alembic"][0], "upgrade", "head")
    assert code == 3
    text = " ".join(screen.split())
    assert "a2.sql:1:1 22012 division_by_zero" in text
    assert "alembic pgpipe retry" in text
    assert "Traceback" not in text


# -- what names nothing -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("upgrade", ""),
        ("downgrade", " "),
        ("stamp", "head", ""),
        ("show", ""),
        ("merge", "heads", ""),
        ("revision", "-m", "x", "--head", ""),
        ("pgpipe", "skip", "", "--reason", "x"),
        ("pgpipe", "retry", ""),
        ("pgpipe", "repair", "--applied", ""),
    ],
    ids=" ".join,
)
def test_an_empty_name_is_no_revision(project: Project, command: tuple[str, ...]) -> None:
    project.wrapped(a="SELECT 1/0;\n")
    project.alembic("upgrade", "head")
    before = project.ledger()
    result = project.alembic(*command)
    assert result.code == 1
    assert "The name of the revision is empty, as of a variable that is not set" in result.text
    assert project.ledger() == before


@pytest.mark.parametrize("command", ["upgrade head", "current", "pgpipe status", "pgpipe init"])
def test_a_configuration_that_cannot_be_read_is_no_traceback(
    project: Project, command: str
) -> None:
    project.write("alembic.ini", "[alembic]\nscript_location\n")
    result = project.alembic(*command.split())
    assert result.code == 1
    assert "alembic.ini:2: this line cannot be read" in result.text


# -- Ctrl-C ------------------------------------------------------------------------------------


def test_ctrl_c_during_a_run_stops_at_once_and_the_next_run_goes_on(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b") + "SELECT pg_sleep(60);\n")
    with in_background(project, "upgrade", "head") as run:
        busy_with(project, "%pg_sleep(60)%")
        run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=20)
    assert run.returncode == 130, output
    assert "stopped: nothing of this revision was applied (rolled back)" in output
    assert "Traceback" not in output
    assert project.query("SELECT to_regclass('public.b')") == [(None,)]
    assert project.outcomes("a2") == [("upgrade", "INTERRUPTED")]
    assert project.scalar("SELECT status FROM migration_logs") == "FAILURE"
    project.source("a2", TABLE.format("b"))
    assert "[1/1]" in project.ok("upgrade", "head").output
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SUCCESS"}


@pytest.mark.parametrize("way", ["python -m alembic", "alembic-pgpipe"])
def test_ctrl_c_during_a_command_is_no_traceback(project: Project, way: str) -> None:
    project.url = "postgresql://nobody@127.0.0.1:1/nowhere"
    project.configure()
    run = subprocess.Popen(
        [*SCRIPTS[way], "wait"],
        cwd=project.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stderr is not None
    assert "does not answer" in run.stderr.readline()
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=20)
    assert run.returncode == 130
    assert "Traceback" not in errors
