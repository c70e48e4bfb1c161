"""The scratch server: a throwaway PostgreSQL that the tool starts itself.

A folder holds everything that outlives a command::

    DIR/data/        the data; made by initdb when missing
    DIR/server.log   what the server said since its last start
    DIR/lock         held while a command uses the server
    DIR/socket       where the running server's socket is

The socket itself sits in a private temporary folder, because its path must stay
short.  There is no TCP port, so any number of scratch servers run side by side.
PostgreSQL refuses to run as root; root's server runs as an ordinary user instead.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import URL

from alembic_pgpipe.access import DRIVER
from alembic_pgpipe.errors import LockError, SettingsError, UnreachableError
from alembic_pgpipe.scratch.binaries import (
    BINARIES_VARIABLE,
    Account,
    Binaries,
    find_binaries,
    server_account,
    server_environment,
)

SUPERUSER = "postgres"
PORT = 5432
# sockaddr_un holds 103 bytes on macOS, 107 on Linux; ours adds about 40 to the folder.
SOCKET_PARENT_LIMIT = 60
START_SECONDS = 60
LOCK_SECONDS = 60.0
POLL_SECONDS = 0.02
LOG_TAIL_LINES = 12
PR_SET_PDEATHSIG = 1
# Fast, immediate, at last by force; each with the seconds that it is given.
STOPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
INITDB_OPTIONS = (
    *("--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8"),
    *("--locale", "C.UTF-8" if sys.platform == "linux" else "C"),
    "--no-sync",
)
SERVER_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}
OWN_FILES = frozenset({"data", "data.new", "server.log", "lock", "socket"})


@dataclass(frozen=True, slots=True)
class ScratchServer:
    """A running scratch server."""

    directory: Path
    socket: Path
    pid: int
    binaries: Binaries

    def url(self, database: str = SUPERUSER) -> URL:
        """Return the SQLAlchemy URL of one of its databases."""
        query = {"host": str(self.socket), "port": str(PORT)}
        return URL.create(DRIVER, username=SUPERUSER, database=database, query=query)


@contextmanager
def scratch_server(
    directory: Path,
    environ: Mapping[str, str],
    *,
    settings: Mapping[str, str] | None = None,
    wait: float = LOCK_SECONDS,
) -> Iterator[ScratchServer]:
    """Run the scratch server whose data is kept in ``directory``; stop it afterwards.

    ``settings`` are server parameters on top of SERVER_SETTINGS; ``wait`` is how many
    seconds another command may keep the directory.  Raises SettingsError for a
    directory that cannot be used, LockError where the other command keeps it, and
    UnreachableError where there is no server to start or it does not start.

    On Linux the server is stopped when the thread that started it ends, so that it goes
    even where this process is killed.
    """
    with ExitStack() as stack:
        with _sentence_for(directory):
            home = _home(directory)
            stack.enter_context(_locked(home, wait))
            _end_leftover(home)
            account = server_account(home / "data")
            binaries = find_binaries(environ, account)
            _initialise(home, binaries, account, environ)
            socket = stack.enter_context(_socket_folder(home, account))
            launch = _Launch(binaries, account, home, server_environment(environ))
            options = {**SERVER_SETTINGS, **(settings or {})}
            process = stack.enter_context(_running(launch, socket, options))
        yield ScratchServer(home, socket, process.pid, binaries)


@contextmanager
def _sentence_for(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"The scratch server cannot use {directory}: {error}. Name a folder of your own, "
            f"for instance scratch://{tempfile.gettempdir()}/scratch."
        ) from error


# --- the folder ---


def _home(directory: Path) -> Path:
    home = directory.absolute()
    home.mkdir(parents=True, exist_ok=True)
    names = {entry.name for entry in home.iterdir() if not entry.name.startswith(".")}
    if names - OWN_FILES and "data" not in names:
        raise SettingsError(
            f"{directory} holds other files and no scratch server's data. "
            "Name a folder that is empty or does not exist, as in scratch://.scratch."
        )
    ignore = home / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    return home


@contextmanager
def _locked(home: Path, wait: float) -> Iterator[None]:
    # The descriptor is not inherited: the lock is gone with this process, however it ends.
    with (home / "lock").open("a+") as file:
        deadline = time.monotonic() + wait
        while not _try_lock(file):
            if time.monotonic() >= deadline:
                raise LockError(_kept_by_another(home, file, wait))
            time.sleep(POLL_SECONDS)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kept_by_another(home: Path, file: IO[str], wait: float) -> str:
    file.seek(0)
    return (
        f"Another command (process {file.read() or 'unknown'}) uses the scratch server in "
        f"{home}; waited {wait:g} s. Wait for it to end, or name another folder."
    )


@contextmanager
def _socket_folder(home: Path, account: Account) -> Iterator[Path]:
    """Make the private folder of the socket; ``home/socket`` points to it meanwhile."""
    link = home / "socket"
    _forget_socket(link)
    folder = Path(tempfile.mkdtemp(prefix="pgpipe-", dir=_socket_parent()))
    try:
        account.own(folder)
        link.symlink_to(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        link.unlink(missing_ok=True)


def _forget_socket(link: Path) -> None:
    if link.is_symlink():
        # A killed command left it; rmdir removes nothing that holds a file.
        with suppress(OSError):
            link.readlink().rmdir()
        link.unlink()


def _socket_parent() -> str:
    folder = Path(tempfile.gettempdir()).resolve()
    is_short = len(os.fsencode(folder)) <= SOCKET_PARENT_LIMIT
    is_public = all(place.stat().st_mode & stat.S_IXOTH for place in (folder, *folder.parents))
    return str(folder) if is_short and (is_public or os.geteuid() != 0) else "/tmp"


# --- processes ---


@dataclass(frozen=True, slots=True)
class _Launch:
    """How the server's programs are run."""

    binaries: Binaries
    account: Account
    home: Path
    environment: Mapping[str, str]

    @property
    def log(self) -> Path:
        """Return the server's log."""
        return self.home / "server.log"

    def start(self, program: str, data: Path, options: list[str]) -> subprocess.Popen[bytes]:
        """Start ``initdb`` or ``postgres`` on ``data``, writing to the log."""
        with ExitStack() as stack:
            log = stack.enter_context(self.log.open("ab"))
            place, descriptors = stack.enter_context(_within_reach(data, self.account))
            return subprocess.Popen(
                [self.binaries.folder / program, "-D", place, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self.environment,
                user=self.account.uid,
                group=self.account.gid,
                extra_groups=self.account.groups,
                umask=0o077,
                pass_fds=descriptors,
                # A Ctrl-C at the terminal is for the tool, which then stops the server.
                start_new_session=True,
                preexec_fn=_ends_with_parent(),  # noqa: PLW1509  it makes two system calls
            )

    def failure(self, what: str) -> UnreachableError:
        """Return the error that shows the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return UnreachableError(
            f"{what} PostgreSQL {self.binaries.version} in {self.binaries.folder} says "
            f"(all of it is in {self.log}):\n" + "\n".join(lines)
        )


@contextmanager
def _within_reach(data: Path, account: Account) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give a name for ``data`` that the account can open, and the descriptors it needs.

    The server's user need not be able to walk to a folder below /root: where the system
    has /proc, it gets the folder as an open descriptor.
    """
    if account.uid is None or not Path("/proc/self/fd").is_dir():
        yield str(data), ()
        return
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", (descriptor,)
    finally:
        os.close(descriptor)


def _ends_with_parent() -> Callable[[], None] | None:
    """Return what a child calls so that it is stopped when this process is killed."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        # After the change of user, which would clear it.
        prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _initialise(
    home: Path, binaries: Binaries, account: Account, environ: Mapping[str, str]
) -> None:
    (home / "server.log").write_bytes(b"")
    data = home / "data"
    if data.exists():
        _check_version(data, binaries)
        return
    # Renamed when it is complete: an interrupted initdb leaves no half-made data behind.
    new = home / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    account.own(new)
    launch = _Launch(binaries, account, home, server_environment(environ))
    if launch.start("initdb", new, [*INITDB_OPTIONS]).wait() != 0:
        raise launch.failure("The scratch server's data could not be made.")
    new.rename(data)


def _check_version(data: Path, binaries: Binaries) -> None:
    major = (data / "PG_VERSION").read_text().strip()
    if major != binaries.major:
        raise SettingsError(
            f"{data.parent} holds the data of PostgreSQL {major}, but the server in "
            f"{binaries.folder} is {binaries.version}. Delete {data.parent} if its data may "
            f"go, or set {BINARIES_VARIABLE} to the folder of a PostgreSQL {major}."
        )


@contextmanager
def _running(
    launch: _Launch, socket: Path, settings: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    options = ["-k", str(socket), "-p", str(PORT)]
    for name, value in settings.items():
        options += ["-c", f"{name}={value}"]
    process = launch.start("postgres", launch.home / "data", options)
    try:
        _await_ready(process, launch)
        yield process
    finally:
        _shut_down(process.pid, lambda seconds: _has_ended(process, seconds))


def _await_ready(process: subprocess.Popen[bytes], launch: _Launch) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(launch.home / "data", process.pid):
        if process.poll() is not None:
            raise launch.failure("The scratch server did not start.")
        if time.monotonic() >= deadline:
            raise launch.failure(f"The scratch server was not ready after {START_SECONDS} s.")
        time.sleep(POLL_SECONDS)


def _is_ready(data: Path, pid: int) -> bool:
    # Line 1 is the process, line 8 its state; pg_ctl waits in the same way.
    lines = _pid_file(data)
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _has_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _shut_down(pid: int, has_ended: Callable[[float], bool]) -> None:
    for number, seconds in STOPS:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if has_ended(seconds):
            return


def _end_leftover(home: Path) -> None:
    """Stop the server that a killed command left behind.

    The process must be the one that the file means: a number may have been used again.
    Its socket's folder, on line 5, has a name of its own, and it is on the command line.
    """
    lines = _pid_file(home / "data")
    if len(lines) < 5:
        return
    pid, socket = int(lines[0]), lines[4]
    command = _command_line(pid)
    if socket and socket in command:
        _shut_down(pid, lambda seconds: _has_left(pid, seconds))
    elif re.search("postgres|postmaster", command):
        raise SettingsError(
            f"{home / 'data'} is served by process {pid}, a PostgreSQL that was not started by "
            f"this tool. Stop it, for instance with: kill -INT {pid}"
        )
    elif command:
        # Another program has that number by now; the server would take it for its own kind.
        (home / "data" / "postmaster.pid").unlink()


def _has_left(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _command_line(pid):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _command_line(pid: int) -> str:
    """Return what the process was started with; nothing where there is none."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except OSError:
            return ""
    listed = subprocess.run(
        ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout
