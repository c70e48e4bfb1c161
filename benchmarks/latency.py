"""A proxy before a server's socket that makes the way to it long, and not narrow.

Each direction keeps what it has received, with the time at which it is due, in a queue: a
second piece does not wait for the first one's journey.  Threads, because an event loop
rounds its waits up to whole milliseconds.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PIECE = 1 << 16
Piece = tuple[float, bytes]


@dataclass(slots=True)
class Count:
    """How many pieces one direction has carried."""

    pieces: int = 0


@dataclass(frozen=True, slots=True)
class Proxy:
    """Passes connections on to a socket, ``seconds`` late in each direction.

    ``sent`` counts what went to the server.
    """

    listener: socket.socket
    target: Path
    seconds: float
    sent: Count = field(default_factory=Count)
    _ends: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Return the port on 127.0.0.1."""
        return int(self.listener.getsockname()[1])

    def accept(self) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self.target))
            self._ends.extend((client, server))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._carry(client, server, self.sent)
            self._carry(server, client, Count())

    def messages(self) -> int:
        """Return how many pieces went to the server, once every client has hung up.

        A client that waits for each answer sends as many messages.  Its last ones are still
        under way when its process has ended.
        """
        self._join()
        return self.sent.pieces

    def end(self) -> None:
        """Cut what is still connected."""
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._join()
        for end in self._ends:
            end.close()

    def _join(self) -> None:
        for thread in tuple(self._threads):
            thread.join()

    def _carry(self, source: socket.socket, target: socket.socket, count: Count) -> None:
        """Carry what comes from one end to the other, in two threads."""
        under_way: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        receiving = (source, under_way, self.seconds, count)
        for work, given in ((_receive, receiving), (_deliver, (target, under_way))):
            thread = threading.Thread(target=work, args=given, daemon=True)
            self._threads.append(thread)
            thread.start()


def _receive(
    source: socket.socket, under_way: queue.SimpleQueue[Piece], late: float, count: Count
) -> None:
    data = b"begun"
    while data:
        try:
            data = source.recv(PIECE)
        except OSError:
            data = b""
        count.pieces += 1
        under_way.put((time.monotonic() + late, data))


def _deliver(target: socket.socket, under_way: queue.SimpleQueue[Piece]) -> None:
    """Deliver each piece when it is due; an empty one is the end."""
    data = b"begun"
    while data:
        due, data = under_way.get()
        time.sleep(max(0.0, due - time.monotonic()))
        with suppress(OSError):
            target.sendall(data) if data else target.shutdown(socket.SHUT_WR)


@contextmanager
def far_away(target: Path, milliseconds: float) -> Iterator[Proxy]:
    """Run a proxy before a server's socket until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener, target, milliseconds / 1000)
        accepting = threading.Thread(target=proxy.accept, daemon=True)
        accepting.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            proxy.end()
