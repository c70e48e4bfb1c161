"""What the server's answers mean for a statement that was refused, or whose end nobody saw."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from alembic_pgpipe.model import UnderWay
from alembic_pgpipe.outside.aftermath import UnclearError, View, judge, look, remains, verify
from alembic_pgpipe.outside.effects import BuildsIndex, effect_of
from alembic_pgpipe.outside.inquiry import Index, Inquiry

OLD = Index(1, "old", "public.old", valid=True, builder=None)
BUILT = Index(2, "i", "public.i", valid=True, builder=None)
INVALID = Index(2, "i", "public.i", valid=False, builder=None)
OTHER = Index(3, "t_a_idx", "public.t_a_idx", valid=False, builder=None)
AT_WORK = Index(2, "i", "public.i", valid=False, builder=77)
NAMED = "CREATE INDEX CONCURRENTLY i ON t (a)"
UNNAMED = "CREATE INDEX CONCURRENTLY ON t (a)"
DROP = "DROP INDEX CONCURRENTLY IF EXISTS public.i"


def server(**answers: Any) -> Any:
    """Return an inquiry that gives these answers."""
    ask = mock.create_autospec(Inquiry, instance=True)
    ask.folded.side_effect = lambda name: name
    for question, answer in answers.items():
        getattr(ask, question).return_value = answer
    return ask


def sent(text: str, **known: Any) -> UnderWay:
    """Return a statement that was sent, with what is known of it."""
    values: dict[str, Any] = {"subject": 9, "seen": (1,), **known}
    return UnderWay(number=3, last=3, text=text, hash="", process=5, since=0.0, **values)


# -- indexes --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [NAMED, UNNAMED])
def test_a_new_valid_index_is_done(text: str) -> None:
    assert judge(sent(text), server(indexes=(OLD, BUILT)), edited=False).done


@pytest.mark.parametrize("text", [NAMED, UNNAMED])
def test_an_index_that_was_seen_before_says_nothing(text: str) -> None:
    assert not judge(sent(text), server(indexes=(OLD,)), edited=False).done


@pytest.mark.parametrize("text", [NAMED, UNNAMED])
def test_a_new_invalid_index_is_dropped(text: str) -> None:
    judgement = judge(sent(text), server(indexes=(OLD, INVALID)), edited=False)
    assert (judgement.done, judgement.commands) == (False, (DROP,))


def test_of_a_named_index_only_its_own_name_counts() -> None:
    judgement = judge(sent(NAMED), server(indexes=(OTHER,)), edited=False)
    assert (judgement.done, judgement.commands) == (False, ())


def test_two_new_invalid_indexes_leave_open_which_is_the_unnamed_one() -> None:
    with pytest.raises(UnclearError, match=r"public\.i, public\.t_a_idx are INVALID and new"):
        judge(sent(UNNAMED), server(indexes=(INVALID, OTHER)), edited=False)


def test_an_index_that_somebody_builds_now_is_left_to_them() -> None:
    with pytest.raises(UnclearError, match="being built by server process 77"):
        judge(sent(NAMED), server(indexes=(AT_WORK,)), edited=False)


def test_of_a_refused_statement_only_what_it_left_is_dropped() -> None:
    ask = server(indexes=(OLD, INVALID))
    assert remains(effect_of(NAMED), sent(NAMED), ask) == (2,)
    assert judge(sent(NAMED, left=(2,)), ask, edited=False).commands == (DROP,)
    assert judge(sent(NAMED, left=()), ask, edited=False).commands == ()


def test_a_refused_statement_is_not_done_though_its_index_is_there_now() -> None:
    assert not judge(sent(NAMED, left=()), server(indexes=(BUILT,)), edited=False).done


def test_an_index_that_is_invalid_after_a_success_is_no_success() -> None:
    view = View(9, (1,))
    verify(BuildsIndex(None, "t"), view, server(indexes=(OLD, BUILT)))
    for index in ("i", None):
        with pytest.raises(UnclearError, match=r"index public\.i is INVALID all the same"):
            verify(BuildsIndex(index, "t"), view, server(indexes=(OLD, INVALID)))


def test_of_what_reindex_left_only_what_is_new_is_dropped() -> None:
    reindex, found = "REINDEX TABLE CONCURRENTLY t", (OTHER, INVALID)
    ask = server(half_reindexed=found)
    known = sent(reindex, seen=(3,))
    assert remains(effect_of(reindex), known, ask) == (2,)
    assert judge(known, ask, edited=False).commands == (DROP,)
    assert look(effect_of(reindex), ask).note.startswith(
        "public.t_a_idx, public.i: left behind"
    )


# -- partitions -----------------------------------------------------------------------------

DETACH = "ALTER TABLE t DETACH PARTITION p CONCURRENTLY"
FINALIZE = "ALTER TABLE t DETACH PARTITION p FINALIZE"


@pytest.mark.parametrize(
    ("pending", "known", "done", "commands"),
    [
        (None, {"seen": ()}, True, ()),
        (None, {"seen": (), "left": ()}, False, ()),
        (None, {"seen": (), "left": (9,)}, True, ()),
        (False, {"seen": ()}, False, ()),
        (True, {"seen": ()}, True, (FINALIZE,)),
        (True, {"seen": (), "left": (9,)}, True, (FINALIZE,)),
        (True, {"seen": (9,)}, False, ()),
    ],
    ids=[
        "detached",
        "by others",
        "finalized",
        "attached",
        "half",
        "half, refused",
        "half before",
    ],
)
def test_a_partition_is_detached_to_the_end(
    pending: bool | None, known: dict[str, Any], done: bool, commands: tuple[str, ...]
) -> None:
    judgement = judge(sent(DETACH, **known), server(detaching=pending), edited=False)
    assert (judgement.done, judgement.commands) == (done, commands)


# -- other objects --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["DATABASE d", "TABLESPACE d LOCATION ''", "SUBSCRIPTION d"])
@pytest.mark.parametrize(("oid", "done"), [(None, False), (1, False), (2, True)])
def test_what_was_made_is_there_and_was_not_before(
    kind: str, oid: int | None, done: bool
) -> None:
    judgement = judge(sent(f"CREATE {kind}"), server(find=oid), edited=False)
    assert judgement.done is done


@pytest.mark.parametrize(
    "kind", ["DATABASE", "TABLESPACE", "SUBSCRIPTION", "INDEX CONCURRENTLY"]
)
@pytest.mark.parametrize("there", [True, False])
def test_what_was_removed_was_there_and_is_gone(kind: str, there: bool) -> None:
    judgement = judge(sent(f"DROP {kind} d"), server(is_there=there), edited=False)
    assert judgement.done is not there


def test_what_was_not_there_to_be_removed_says_nothing() -> None:
    assert not judge(sent("DROP DATABASE d", seen=()), server(), edited=False).done


def test_before_a_statement_it_is_noted_what_is_there() -> None:
    assert look(effect_of("DROP DATABASE d"), server(find=4)) == View(None, (4,))
    assert look(effect_of("CREATE DATABASE d"), server(find=None)) == View()
    assert look(effect_of(NAMED), server(relation=9, indexes=(OLD,))) == View(9, (1,))
    assert look(effect_of("VACUUM"), server()) == View()


# -- transactions, and what nobody knows ----------------------------------------------------


@pytest.mark.parametrize(("status", "done"), [("committed", True), ("aborted", False)])
def test_the_server_remembers_how_a_transaction_ended(status: str, done: bool) -> None:
    statement = sent("INSERT INTO t VALUES (1)", atomic=True, transaction=7)
    assert judge(statement, server(transaction_status=status), edited=False).done is done


def test_a_transaction_whose_commit_was_never_sent_is_not_done() -> None:
    assert not judge(sent("BEGIN", atomic=True), server(), edited=False).done


def test_a_transaction_that_the_server_has_forgotten_is_unknown() -> None:
    statement = sent("INSERT INTO t VALUES (1)", atomic=True, transaction=7)
    with pytest.raises(UnclearError, match="cannot tell"):
        judge(statement, server(transaction_status=None), edited=False)


def test_what_the_server_cannot_know_is_said_until_somebody_edits_it() -> None:
    with pytest.raises(UnclearError, match=r"statement 3 \(CALL backfill\(\)\) was under way"):
        judge(sent("CALL backfill()"), server(), edited=False)
    assert not judge(sent("CALL backfill()"), server(), edited=True).done
    assert not judge(sent("CALL backfill()", left=()), server(), edited=False).done


def test_what_may_be_repeated_is_repeated() -> None:
    assert not judge(sent("VACUUM t"), server(), edited=False).done
