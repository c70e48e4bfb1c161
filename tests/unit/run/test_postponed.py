"""What waits for the disk: its order, and what becomes of it."""

from __future__ import annotations

from sqlalchemy import Connection, create_engine

from alembic_pgpipe.run.postponed import NOT_KNOWN, TAKEN_BACK, Entry, Postponed


def connection() -> Connection:
    """Return a connection that is never used."""
    return create_engine("sqlite://").connect()


def waiting(*, kept: bool) -> Postponed:
    postponed = Postponed(witness=connection())
    postponed.add(Entry("[1/2] a", kept=None))
    postponed.add(Entry("applied", kept=lambda _: kept))
    postponed.add(Entry("[2/2] b", echoed=False))
    return postponed


def test_nothing_is_asked_for_where_the_witness_lives() -> None:
    postponed = waiting(kept=False)
    assert postponed.witness is not None
    postponed.look_again(postponed.witness)
    assert postponed.lines == ["[1/2] a", "applied", "[2/2] b"]


def test_what_is_gone_is_said_in_its_place() -> None:
    postponed = waiting(kept=False)
    other = connection()
    postponed.look_again(other)
    postponed.give_up()
    assert postponed.lines == ["[1/2] a", TAKEN_BACK, "[2/2] b"]
    assert postponed.witness is other


def test_what_is_still_there_has_to_be_asked_for_again_on_a_third_connection() -> None:
    postponed = waiting(kept=True)
    postponed.look_again(connection())
    assert postponed.lines[1] == "applied"
    postponed.give_up()
    assert postponed.lines == ["[1/2] a", NOT_KNOWN, "[2/2] b"]


def test_what_is_taken_waits_no_longer() -> None:
    postponed = waiting(kept=True)
    assert postponed and postponed.seconds > 0
    assert [entry.echoed for entry in postponed.take()] == [True, True, False]
    assert not postponed and postponed.seconds == 0
