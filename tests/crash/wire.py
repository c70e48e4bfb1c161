"""PostgreSQL's protocol, version 3, as far as one has to know it to stop a run at a point."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

PROTOCOL = 196608
CANCEL = 80877102
# Requests for encryption, by TLS and by GSSAPI; a server answers with one byte.
ENCRYPTION = frozenset({80877103, 80877104})
QUERY, NOTICE, READY, COPY_IN, KEY = b"Q", b"N", b"Z", b"G", b"K"
HEAD = struct.Struct("!cI")
FIRST_HEAD = struct.Struct("!II")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of either side, as it is on the wire."""

    kind: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        """Return its bytes."""
        return HEAD.pack(self.kind, len(self.body) + 4) + self.body

    @property
    def text(self) -> str:
        """Return what it says, where it holds text."""
        return self.body.replace(b"\0", b"\n").decode("utf-8", "replace")

    @property
    def is_query(self) -> bool:
        """Return whether it is SQL that the client sends."""
        return self.kind == QUERY

    @property
    def ends_answer(self) -> bool:
        """Return whether the server waits for the client after it."""
        return self.kind in (READY, COPY_IN)


@dataclass(slots=True)
class Splitter:
    """Cuts what one side sends into messages; what is not complete yet waits."""

    _rest: bytes = b""

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are complete with further bytes."""
        self._rest += data
        while len(self._rest) >= HEAD.size:
            kind, length = HEAD.unpack_from(self._rest)
            if len(self._rest) <= length:
                return
            body, self._rest = self._rest[HEAD.size : length + 1], self._rest[length + 1 :]
            yield Message(kind, body)


@dataclass(frozen=True, slots=True)
class First:
    """The first packet of a connection, which has no kind: what is asked for, and how."""

    code: int
    body: bytes

    @property
    def raw(self) -> bytes:
        """Return its bytes."""
        return FIRST_HEAD.pack(len(self.body) + FIRST_HEAD.size, self.code) + self.body

    @property
    def parameters(self) -> dict[str, str]:
        """Return what a start-up packet says: user, database, application_name, …"""
        words = self.body.rstrip(b"\0").split(b"\0")
        texts = [word.decode("utf-8", "replace") for word in words]
        return dict(zip(texts[::2], texts[1::2], strict=False))


def backend_of(message: Message) -> int:
    """Return the server's process that a KEY message names."""
    (process,) = struct.unpack_from("!I", message.body)
    return int(process)


def query(sql: str) -> Message:
    """Return the message that carries SQL."""
    return Message(QUERY, sql.encode() + b"\0")
