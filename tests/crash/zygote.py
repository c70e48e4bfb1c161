"""Processes that type ``alembic …``, forked from one that has imported all of it already.

``python -m tests.crash.zygote`` reads a request a line, as JSON, and answers with lines of
JSON: the process that it has begun, and, when one has ended, how.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
# At this signal an exception comes up in the client, wherever its Python code is then.
RAISE = signal.SIGUSR1
IMPORTED = (
    "alembic.config",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "alembic_pgpipe.cli",
    "alembic_pgpipe.commands.wrap",
    "alembic_pgpipe.environment",
    "alembic_pgpipe.run.pipeline",
    "alembic_pgpipe.outside.alone",
)


@dataclass(frozen=True, slots=True)
class Request:
    """One command: where it is typed, its words, further variables, where its output goes."""

    folder: str
    arguments: tuple[str, ...]
    env: Mapping[str, str]
    output: str


# -- the side of the tests ------------------------------------------------------------------


@dataclass(slots=True)
class Zygote:
    """The process that others are forked from; only one thread may use it."""

    process: subprocess.Popen[str]
    _codes: dict[int, int] = field(default_factory=dict)
    _begun: list[int] = field(default_factory=list)

    def start(
        self,
        folder: Path,
        arguments: Sequence[str],
        env: Mapping[str, str],
        output: Path,
    ) -> Client:
        """Begin a command; an error of its own ends up in its output."""
        request = Request(str(folder), tuple(arguments), env, str(output))
        self._to.write(json.dumps(asdict(request)) + "\n")
        self._to.flush()
        while not self._begun:
            self._hear(PATIENCE_SECONDS)
        return Client(self, self._begun.pop(), output)

    def code(self, pid: int, seconds: float) -> int | None:
        """Return how a process ended; None where it has not within so many seconds."""
        deadline = time.monotonic() + seconds
        while pid not in self._codes and (left := deadline - time.monotonic()) > 0:
            self._hear(left)
        return self._codes.get(pid)

    @property
    def _to(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    def _hear(self, seconds: float) -> None:
        assert self.process.stdout is not None
        if not any(select.select([self.process.stdout], [], [], seconds)):
            return
        line = self.process.stdout.readline()
        assert line, "the process that others are forked from has died"
        said = json.loads(line)
        if "code" in said:
            self._codes[said["pid"]] = said["code"]
        else:
            # The number may have been another process's before.
            self._codes.pop(said["pid"], None)
            self._begun.append(said["pid"])


@dataclass(frozen=True, slots=True)
class Client:
    """One running command."""

    zygote: Zygote
    pid: int
    file: Path

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended does not mind."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Return its exit code, negative for a signal; it is killed where it does not end."""
        code = self.zygote.code(self.pid, seconds)
        if code is None:
            self.send(signal.SIGKILL)
            self.zygote.code(self.pid, PATIENCE_SECONDS)
            raise TimeoutError(f"not done after {seconds:g} s:\n{self.output}")
        return code

    @property
    def output(self) -> str:
        """Return what it has printed so far."""
        return self.file.read_text("utf-8", "replace")


@contextmanager
def zygote() -> Iterator[Zygote]:
    """Run the process that others are forked from."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.zygote"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        try:
            yield Zygote(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(PATIENCE_SECONDS)


# -- the other side -------------------------------------------------------------------------


def main() -> None:
    """Fork a process for each line, until there are no more."""
    _import_all()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    children: set[int] = set()
    while True:
        ready, _, _ = select.select([sys.stdin, reading], [], [])
        if reading in ready:
            os.read(reading, 4096)
        _report(children)
        if sys.stdin in ready:
            line = os.read(sys.stdin.fileno(), 1 << 20).decode()
            if not line:
                break
            for request in line.splitlines():
                children.add(_fork(Request(**json.loads(request))))
    for child in children:
        os.kill(child, signal.SIGKILL)


def _import_all() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _fork(request: Request) -> int:
    child = os.fork()
    if child:
        _answer({"pid": child})
        return child
    try:
        code = _run(request)
    except BaseException:  # noqa: BLE001 - as the interpreter does at its end
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


def _run(request: Request) -> int:
    """Be the process that was asked for; return its exit code."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(RAISE, _raise)
    output = os.open(request.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, end in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, end)
    os.chdir(request.folder)
    os.environ.update(request.env)
    from alembic.config import CommandLine

    try:
        CommandLine(prog="alembic").main(list(request.arguments))
    except SystemExit as end_:
        return end_.code if isinstance(end_.code, int) else int(end_.code is not None)
    return 0


def _raise(*_: object) -> None:
    raise MemoryError("raised by the test")


def _report(children: set[int]) -> None:
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        children.discard(child)
        _answer({"pid": child, "code": os.waitstatus_to_exitcode(status)})


def _answer(what: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
