"""The protocol is cut into messages wherever the network cuts it."""

from __future__ import annotations

import struct

import pytest

from tests.crash.wire import First, Message, Splitter, backend_of, query

SENT = (query("SELECT 1"), Message(b"d", b"1\n"), Message(b"c", b""), query("COMMIT"))


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_messages_are_found_in_pieces_of_any_size(size: int) -> None:
    data = b"".join(message.raw for message in SENT)
    splitter = Splitter()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    found = [message for piece in pieces for message in splitter.feed(piece)]
    assert found == list(SENT)


def test_a_message_that_is_not_complete_waits() -> None:
    splitter = Splitter()
    raw = query("SELECT 1").raw
    assert list(splitter.feed(raw[:-1])) == []
    assert list(splitter.feed(raw[-1:])) == [query("SELECT 1")]


def test_a_query_says_its_sql() -> None:
    assert query("SELECT 'ä'").text == "SELECT 'ä'\n"
    assert query("SELECT 1").is_query


def test_an_answer_ends_where_the_server_waits() -> None:
    assert Message(b"Z", b"I").ends_answer
    assert Message(b"G", b"").ends_answer
    assert not Message(b"C", b"COMMIT\0").ends_answer


def test_a_first_packet_says_who_asks() -> None:
    first = First(196608, b"user\0me\0database\0shop\0\0")
    assert first.parameters == {"user": "me", "database": "shop"}
    assert struct.unpack("!II", first.raw[:8]) == (len(first.raw), 196608)


def test_a_key_names_the_servers_process() -> None:
    assert backend_of(Message(b"K", struct.pack("!II", 4711, 1))) == 4711
