"""One project behind a proxy, and what can be done to a run of it."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL

from tests.background import eventually
from tests.crash.faults import Deed, Fault
from tests.crash.points import Kind, Role, role
from tests.crash.projects import Model, Models
from tests.crash.proxy import Event, Link, Proxy, Side, proxy
from tests.crash.server import CrashServer, crash_server
from tests.crash.zygote import RAISE, Client, Zygote, zygote
from tests.project import Project
from tests.scratch_folder import scratch_folder

STALL_SECONDS = 0.2
PATIENCE_SECONDS = 60.0
REFUSAL = (
    "DO $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' "
    "USING ERRCODE = '53100'; END $$"
)
AT_WORK = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = %s AND application_name LIKE 'alembic-pgpipe%%'
"""
THERE = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
TERMINATE = "SELECT pg_terminate_backend(%s, 10000)"
ADVISORY = """
    SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND datname = %s
"""


@dataclass(slots=True)
class Ground:
    """What all cases share; ``folder`` holds what they leave behind."""

    server: CrashServer
    zygote: Zygote
    models: Models
    folder: Path
    twins: dict[Kind, Remains] = field(default_factory=dict)

    @classmethod
    def on(cls, server: CrashServer, forked: Zygote, folder: Path) -> Ground:
        """Return a ground on a server, with the files of models and cases in a folder."""
        (folder / "cases").mkdir()
        return cls(server, forked, Models(server, folder / "models"), folder / "cases")


@contextmanager
def ground() -> Iterator[Ground]:
    """Start what cases need."""
    with (
        scratch_folder() as name,
        crash_server(name / "scratch") as server,
        zygote() as forked,
    ):
        yield Ground.on(server, forked, name)


@dataclass(frozen=True, slots=True)
class Run:
    """How one command ended, and what it printed."""

    code: int
    output: str


@dataclass(frozen=True, slots=True)
class Remains:
    """What the databases hold, without the ledger's own past."""

    schema: str
    effects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger says, and ``alembic_version``."""

    statuses: dict[str, str]
    attempts: tuple[tuple[str, str, str], ...]
    builds: dict[str, str | None]
    versions: int


class Aim(Protocol):
    """Whoever knows the message at which a fault is to come."""

    def is_here(self, event: Event) -> bool:
        """Return whether a message is the one; each is shown once."""


@dataclass(slots=True)
class Arena:
    """A project of its own, its databases, its proxy, and what a run of it is to meet."""

    ground: Ground
    project: Project
    here: str
    there: str | None
    proxy: Proxy
    hold: ExitStack = field(default_factory=ExitStack)
    ghosts: tuple[Link, ...] = ()
    struck: threading.Event = field(default_factory=threading.Event)
    _aim: tuple[Aim, Fault] | None = None
    _client: Client | None = None
    _begun: threading.Event = field(default_factory=threading.Event)
    _through: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def folder(self) -> Path:
        """Return where its files are."""
        return self.project.folder

    # -- commands --------------------------------------------------------------------------

    def start(self, words: tuple[str, ...], env: dict[str, str]) -> Client:
        """Begin a command."""
        return self.ground.zygote.start(self.folder, words, env, self.folder / "output")

    def run(self, words: tuple[str, ...], env: dict[str, str]) -> Run:
        """Run a command to its end."""
        return self.wait(self.start(words, env))

    def wait(self, client: Client) -> Run:
        """Wait for the end of a command."""
        return Run(client.wait(PATIENCE_SECONDS), client.output)

    def run_into(
        self, finder: Aim, fault: Fault, words: tuple[str, ...], env: dict[str, str]
    ) -> Run:
        """Run a command that meets a fault at the first message that a finder finds."""
        self.struck.clear()
        self._begun.clear()
        self._through.clear()
        self._aim = finder, fault
        client = self._client = self.start(words, env)
        self._begun.set()
        run = self.wait(client)
        self._aim = None
        if self.struck.is_set():
            # The client may be gone before the server has answered who was to end it.
            self._through.wait(PATIENCE_SECONDS)
        self.hold.close()
        if self.struck.is_set() and fault.deed is Deed.CRASH:
            self.ground.server.start()
            self.proxy.socket_folder = self.ground.server.socket
        return run

    # -- the trap --------------------------------------------------------------------------

    def trap(self, event: Event) -> None:
        """Strike where the point is; called by the threads of the proxy."""
        aim = self._aim
        with self._lock:
            here = aim is not None and not self.struck.is_set() and aim[0].is_here(event)
            if here:
                self.struck.set()
        if here and aim is not None:
            self._begun.wait(PATIENCE_SECONDS)
            try:
                self._strike(aim[1], event)
            finally:
                self._through.set()
        elif self.ghosts and event.link not in self.ghosts:
            self._follow(event)

    def _strike(self, fault: Fault, event: Event) -> None:
        match fault.deed:
            case Deed.SIGNAL | Deed.RAISE:
                self._send(fault.number or RAISE, event)
            case Deed.REFUSE:
                commits = event.text.startswith("COMMIT")
                event.link.instead = f"ROLLBACK; {REFUSAL}" if commits else REFUSAL
            case Deed.CRASH:
                self.ground.server.crash()
            case Deed.STALL | Deed.VANISH:
                self._stall(fault)
            case _:
                self._cut(fault, event)
        stops = fault.number in (signal.SIGTERM, signal.SIGINT)
        if not (stops and event.side is Side.NOTICED):
            # What is stopped is to be cancelled, not to be let go.
            self.hold.close()

    def _cut(self, fault: Fault, event: Event) -> None:
        # Those of the run that is met: the next one may begin before the last of them is cut.
        own = (event.link,)
        links = own if fault.role is None else tuple(self._links(fault.role))
        for link in links:
            if fault.deed is Deed.TERMINATE:
                self.ground.server.query(TERMINATE, link.backend)
                continue
            link.end_server()
            if not (event.side is Side.NOTICED and link is event.link):
                # Who is at work notices later; the others are gone before the client knows.
                self._await_end(link)
            link.end(reset=fault.deed is Deed.RESET)

    def _await_end(self, link: Link) -> None:
        server = self.ground.server
        eventually(lambda: server.query(THERE, link.backend)[0][0] == 0)

    def _send(self, number: signal.Signals, event: Event) -> None:
        assert self._client is not None
        self._client.send(number)
        if number is signal.SIGKILL:
            # What it had not sent is lost, and an answer has nobody to come to.
            event.link.end()

    def _stall(self, fault: Fault) -> None:
        links = tuple(self.proxy.links)
        for link in links:
            link.stall()
        if fault.deed is Deed.VANISH:
            self.ghosts = links
            assert self._client is not None
            self._client.send(signal.SIGKILL)
        else:
            threading.Timer(STALL_SECONDS, _resume, [links]).start()

    def _follow(self, event: Event) -> None:
        """Let the server learn of a vanished client when another run has asked for the lock."""
        asks = event.side is Side.ANSWERED and "pg_try_advisory_xact_lock(" in event.text
        if asks:
            self.lay()

    def lay(self) -> None:
        """Let what a vanished client had sent arrive, and its end."""
        _resume(self.ghosts)

    def _links(self, wanted: Role) -> Iterator[Link]:
        for link in self.proxy.links:
            if role(link.first, link.texts, self.here) is wanted and not link.cut.is_set():
                yield link

    # -- what is left ----------------------------------------------------------------------

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the project's database."""
        return self.ground.server.query(sql, *values, database=self.here)

    def await_quiet(self) -> None:
        """Wait until the server works for no run any more."""
        eventually(lambda: self.ground.server.query(AT_WORK, self.here)[0][0] == 0)

    def ledger(self) -> Ledger | None:
        """Return what the ledger says; None where there is none yet."""
        there = self.query(
            "SELECT to_regclass('migration_attempts'), to_regclass('alembic_version')"
        )[0]
        if there[0] is None:
            return None
        return Ledger(
            dict(self.query("SELECT migration_name, applied_status FROM migrations")),
            tuple(
                self.query(
                    "SELECT migration_name, build_number, outcome "
                    "FROM migration_attempts WHERE direction = 'upgrade' ORDER BY id"
                )
            ),
            dict(self.query("SELECT build_number, status FROM migration_logs")),
            self.query("SELECT count(*) FROM alembic_version")[0][0] if there[1] else 0,
        )

    def effects(self) -> tuple[str, ...]:
        """Return all that sources have done, sorted."""
        found: list[str] = []
        for database in filter(None, (self.here, self.there)):
            rows = self.ground.server.query("SELECT name FROM effects", database=database)
            found += [name for (name,) in rows]
        return tuple(sorted(found))

    def remains(self) -> Remains:
        """Return what the databases hold."""
        dumps = [dump(self.ground.server.url(d)) for d in (self.here, self.there) if d]
        return Remains("\n".join(dumps), self.effects())

    def locks(self) -> int:
        """Return how many advisory locks are held."""
        return int(self.ground.server.query(ADVISORY, self.here)[0][0])


@contextmanager
def arena(ground: Ground, model: Model) -> Iterator[Arena]:
    """Make a project of its own from a model, on databases of its own, behind a proxy."""
    here = ground.server.clone(model.here)
    there = ground.server.clone(model.there) if model.there else None
    folder = ground.folder / here
    with ExitStack() as stack:
        stack.callback(lambda: shutil.rmtree(folder, ignore_errors=True))
        stack.callback(lambda: ground.server.drop(*filter(None, (here, there))))
        late: list[Arena] = []
        running = stack.enter_context(
            proxy(ground.server.socket, lambda event: late[0].trap(event))
        )
        url = URL.create(
            "postgresql+psycopg2", "postgres", None, "127.0.0.1", running.port, here
        )
        project = model.copy(folder, url, there)
        made = Arena(ground, project, here, there, running)
        late.append(made)
        stack.enter_context(made.hold)
        yield made


def _resume(links: tuple[Link, ...]) -> None:
    for link in links:
        link.resume()


def dump(url: URL) -> str:
    """Return a database's schema as pg_dump writes it."""
    socket = str(url.query["host"])
    written = subprocess.run(
        ["pg_dump", "-h", socket, "-U", "postgres", "--schema-only", str(url.database)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", written, flags=re.M)
