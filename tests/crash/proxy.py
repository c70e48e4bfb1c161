"""A proxy on loopback before a server's socket, which a test can stop at any message.

Each connection is a link with two threads.  ``trap`` is asked about each message before it
is passed on: while it thinks, that link stands still.  What it does to a link it does with
the link's own methods, and the thread that asked goes by what has become of the link.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tests.crash.wire import (
    CANCEL,
    ENCRYPTION,
    FIRST_HEAD,
    KEY,
    NOTICE,
    First,
    Message,
    Splitter,
    backend_of,
    query,
)

PIECE = 1 << 16
PORT = 5432
NO_LINGER = struct.pack("ii", 1, 0)


class Side(Enum):
    """Where a message is when a trap is asked about it.

    ``SENT``: the client has sent it, the server has not got it.  ``ANSWERED``: the server
    is done with it, the client does not know.  ``NOTICED``: the server is in the middle of
    a message, and has just said so in a notice.
    """

    SENT = "sent"
    ANSWERED = "answered"
    NOTICED = "noticed"


@dataclass(frozen=True, slots=True)
class Event:
    """A message on a link; ``text`` is the SQL, or what the notice says."""

    link: Link
    side: Side
    text: str


Trap = Callable[[Event], None]


@dataclass(slots=True)
class Link:
    """One connection through the proxy, and what the client has sent on it.

    ``backend`` is the server's process, ``instead`` what goes out in place of the query
    that a trap is asked about.
    """

    client: socket.socket
    server: socket.socket
    first: First
    texts: list[str] = field(default_factory=list)
    instead: str | None = None
    backend: int = 0
    cut: threading.Event = field(default_factory=threading.Event)
    flows: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Let it flow."""
        self.flows.set()

    @property
    def is_cancellation(self) -> bool:
        """Return whether it only asks the server to cancel another link's statement."""
        return self.first.code == CANCEL

    def end(self, *, reset: bool = False) -> None:
        """Cut both ways: with an orderly end, or with a reset of the client's side."""
        self.end_server()
        # A link that has ended by itself is none of ours.
        with suppress(OSError):
            if reset:
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self.client.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)

    def end_server(self) -> None:
        """Cut the server's side; the client hears of it only from ``end``."""
        self.cut.set()
        self.flows.set()
        with suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Pass nothing on until ``resume``; both ends believe that the other one lives."""
        self.flows.clear()

    def resume(self) -> None:
        """Pass on what has come in since ``stall``, and all that follows."""
        self.flows.set()

    def pass_on(self, target: socket.socket, data: bytes) -> None:
        """Send bytes to one end, unless the link is cut; what is stalled waits."""
        self.flows.wait()
        if not self.cut.is_set():
            with suppress(OSError):
                target.sendall(data)

    def say_goodbye(self, target: socket.socket) -> None:
        """Tell one end that the other one has ended; where it is stalled, only later."""
        self.flows.wait()
        if not self.cut.is_set():
            with suppress(OSError):
                target.shutdown(socket.SHUT_WR)


@dataclass(slots=True)
class Proxy:
    """Listens on a port of its own; ``socket_folder`` is where the server's socket is now."""

    listener: socket.socket
    socket_folder: Path
    trap: Trap
    links: list[Link] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        """Return the port on 127.0.0.1."""
        return int(self.listener.getsockname()[1])

    def end(self) -> None:
        """Cut every link and wait until no thread is left."""
        self._ended.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for link in self.links:
            link.end()
        for thread in self._threads:
            thread.join(10)

    def start(self, work: Callable[[], None]) -> threading.Thread:
        """Run something in a thread that the end of the proxy waits for."""
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def accept(self) -> None:
        """Take connections until the end."""
        while not self._ended.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.start(lambda client=client: self._serve(client))  # type: ignore[misc]

    def _serve(self, client: socket.socket) -> None:
        with client:
            first = _first(client)
            server = self._reach() if first is not None else None
            if first is None or server is None:
                return
            with server:
                link = Link(client, server, first)
                self.links.append(link)
                link.pass_on(server, first.raw)
                back = self.start(lambda: self._backwards(link))
                self._forwards(link)
                back.join()

    def _reach(self) -> socket.socket | None:
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(str(self.socket_folder / f".s.PGSQL.{PORT}"))
        except OSError:
            server.close()
            return None
        return server

    def _forwards(self, link: Link) -> None:
        """Pass on what the client sends."""
        splitter = Splitter()
        for data in _received(link.client, link):
            for message in splitter.feed(data):
                self._forward(link, message)
        link.say_goodbye(link.server)

    def _forward(self, link: Link, message: Message) -> None:
        if message.is_query:
            link.texts.append(message.text.rstrip("\n"))
            self.trap(Event(link, Side.SENT, link.texts[-1]))
            if link.instead is not None:
                message, link.instead = query(link.instead), None
        link.pass_on(link.server, message.raw)

    def _backwards(self, link: Link) -> None:
        """Pass on what the server sends; an answer as a whole, or nothing of it."""
        splitter, waiting = Splitter(), b""
        for data in _received(link.server, link):
            for message in splitter.feed(data):
                waiting += message.raw
                if message.kind == KEY:
                    link.backend = backend_of(message)
                if message.kind == NOTICE:
                    self.trap(Event(link, Side.NOTICED, message.text))
                elif message.ends_answer:
                    if link.texts:
                        self.trap(Event(link, Side.ANSWERED, link.texts[-1]))
                elif len(waiting) < PIECE:
                    continue
                link.pass_on(link.client, waiting)
                waiting = b""
        link.pass_on(link.client, waiting)
        link.say_goodbye(link.client)


def forwards(_event: Event) -> None:
    """Let every message pass."""


@contextmanager
def proxy(socket_folder: Path, trap: Trap = forwards) -> Iterator[Proxy]:
    """Run a proxy until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = Proxy(listener, socket_folder, trap)
        running.start(running.accept)
        try:
            yield running
        finally:
            running.end()


def _first(client: socket.socket) -> First | None:
    """Read the first packet; the wish for encryption is declined as a server may."""
    while True:
        head = _exactly(client, FIRST_HEAD.size)
        if head is None:
            return None
        length, code = FIRST_HEAD.unpack(head)
        body = _exactly(client, length - FIRST_HEAD.size)
        if body is None:
            return None
        if code not in ENCRYPTION:
            return First(code, body)
        client.sendall(b"N")


def _exactly(source: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        try:
            more = source.recv(size - len(data))
        except OSError:
            return None
        if not more:
            return None
        data += more
    return data


def _received(source: socket.socket, link: Link) -> Iterable[bytes]:
    """Yield what comes in until the end, or until the link is cut."""
    while not link.cut.is_set():
        try:
            data = source.recv(PIECE)
        except OSError:
            return
        if not data:
            return
        yield data
