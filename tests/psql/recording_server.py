"""A PostgreSQL that runs nothing: it notes every string that psql sends, and says yes.

It speaks as much of the protocol, version 3, as ``psql -f`` needs.  What psql sends
depends on the answers in a few places only; ``session.py`` knows those.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tests.psql.gaps import BLANKS, without_leading_gap
from tests.psql.session import DEFAULTS, Copy, CopyAnswer, Session, copy_answer

PORT = 5432
PROTOCOL = 196608
PARAMETERS = {"server_version": "15.0", "server_encoding": "UTF8", **DEFAULTS}
QUERY, COPY_DATA, COPY_DONE, EMPTY, TERMINATE = b"Q", b"d", b"c", b"I", b"X"


@dataclass(frozen=True, slots=True)
class Sent:
    """One string that the server receives, and the COPY data that follows it."""

    text: bytes
    data: bytes | None = None


class RecordingServer(socketserver.ThreadingUnixStreamServer):
    """Listen on a Unix socket in a folder; ``take`` gives what came in since last time."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._received: list[Sent] = []
        super().__init__(str(folder / f".s.PGSQL.{PORT}"), _Connection)

    def note(self, sent: Sent) -> None:
        """Keep what was received; it is there before the client gets its answer."""
        self._received.append(sent)

    def take(self) -> tuple[Sent, ...]:
        """Return what was received, and forget it."""
        received, self._received = self._received, []
        return tuple(received)


@contextmanager
def recording_server(folder: Path) -> Iterator[RecordingServer]:
    """Run a server in a thread until the block ends."""
    with RecordingServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Connection(socketserver.StreamRequestHandler):
    """Answer one client until it leaves."""

    wbufsize = -1

    def handle(self) -> None:
        """Answer query after query."""
        self.session = Session()
        if not self._start():
            return
        while (received := self._receive()) and received[0] != TERMINATE:
            kind, body = received
            if kind != QUERY:
                raise NotImplementedError(f"message {kind!r} of the protocol")
            self._answer(body.removesuffix(b"\0"))
            self._ready()

    def _start(self) -> bool:
        """Take the start-up message; tell whether it is one that is understood."""
        (length,) = struct.unpack("!I", self.rfile.read(4))
        (protocol,) = struct.unpack("!I", self.rfile.read(length - 4)[:4])
        if protocol != PROTOCOL:
            return False
        self._send(b"R", struct.pack("!I", 0))
        self._report(PARAMETERS)
        self._send(b"K", struct.pack("!II", 1, 1))
        self._ready()
        return True

    def _answer(self, query: bytes) -> None:
        """Note a query, and its COPY data, and answer it."""
        text = query.decode("utf-8", "surrogateescape")
        answer = copy_answer(text)
        data = self._copy(answer) if answer else None
        cast("RecordingServer", self.server).note(Sent(query, data))
        self._report(self.session.follow(text))
        if without_leading_gap(text).strip(BLANKS + ";"):
            self._send(b"C", b"COPY 0\0" if answer else b"DO\0")
        else:
            self._send(EMPTY)

    def _copy(self, answer: CopyAnswer) -> bytes | None:
        """Go through a COPY; return what the client sent."""
        if answer.way is Copy.OUT:
            self._send(b"H", struct.pack("!bh", answer.binary, 0))
            self._send(COPY_DONE)
            return None
        self._send(b"G", struct.pack("!bh", answer.binary, 0))
        self.wfile.flush()
        pieces = []
        while (received := self._receive()) and received[0] == COPY_DATA:
            pieces.append(received[1])
        return b"".join(pieces)

    def _receive(self) -> tuple[bytes, bytes] | None:
        """Return the next message, or None where the client has gone."""
        head = self.rfile.read(5)
        if len(head) < 5:
            return None
        kind, length = struct.unpack("!cI", head)
        return kind, self.rfile.read(length - 4)

    def _report(self, parameters: dict[str, str]) -> None:
        for name, value in parameters.items():
            self._send(b"S", f"{name}\0{value}\0".encode())

    def _ready(self) -> None:
        self._send(b"Z", self.session.status)
        self.wfile.flush()

    def _send(self, kind: bytes, body: bytes = b"") -> None:
        self.wfile.write(kind + struct.pack("!I", len(body) + 4) + body)
