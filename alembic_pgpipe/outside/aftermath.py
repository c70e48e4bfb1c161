"""What a statement left behind that was refused, or whose end nobody saw.

Before such a statement is sent, :func:`look` notes what is there; afterwards
:func:`judge` asks the server again, and only what is new can be the statement's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from alembic_pgpipe.model import UnderWay
from alembic_pgpipe.outside.effects import (
    BuildsIndex,
    Detaches,
    Effect,
    Makes,
    Plain,
    Reindexes,
    Removes,
    effect_of,
)
from alembic_pgpipe.outside.inquiry import Index, Inquiry

SHOWN = 60
EDIT = (
    "write /* again */ in front of it here. If it was done: write /* done */ in front of it, "
    "which passes it over here, and is a comment in every other database."
)


class UnclearError(Exception):
    """Say what the server cannot tell, or what must not be touched; for a person.

    ``edit`` says that the way out is an edit of the source.
    """

    def __init__(self, message: str, *, edit: bool = False) -> None:
        super().__init__(message)
        self.edit = edit


@dataclass(frozen=True, slots=True)
class View:
    """What was there before a statement: its table, and the objects of its kind."""

    subject: int | None = None
    seen: tuple[int, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a statement is done, what to clean up, and what to say of both."""

    done: bool
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


# -- before a statement -----------------------------------------------------------------------


def look(effect: Effect, ask: Inquiry) -> View:
    """Note what is there before a statement is sent.

    Raises UnclearError where an INVALID index that the source has not built is in its way.
    """
    match effect:
        case BuildsIndex():
            return _before_build(effect, ask)
        case Reindexes():
            return _before_reindex(effect, ask)
        case Detaches():
            partition = ask.relation(effect.partition)
            pending = ask.detaching(partition) is True and partition is not None
            return View(partition, (partition,) if partition is not None and pending else ())
        case Makes() | Removes():
            oid = ask.find(effect.kind, effect.name)
            return View(seen=(oid,) if oid is not None else ())
        case _:
            return View()


def _before_build(effect: BuildsIndex, ask: Inquiry) -> View:
    table = ask.relation(effect.table)
    indexes = ask.indexes(table)
    for index in _named(indexes, effect.index, ask):
        if not index.valid:
            raise UnclearError(_in_the_way(index))
    return View(table, _oids(indexes))


def _before_reindex(effect: Reindexes, ask: Inquiry) -> View:
    found = ask.half_reindexed(effect.kind, effect.name)
    note = ""
    if found:
        note = (
            f"{_names(found)}: left behind by a REINDEX CONCURRENTLY that is not this "
            f"source's, so left alone; to remove: {_drops(found)}"
        )
    return View(seen=_oids(found), note=note)


def _in_the_way(index: Index) -> str:
    if index.builder is not None:
        return (
            f"index {index.shown} is being built by server process {index.builder}, which is "
            "not this source. Wait until it is done."
        )
    return (
        f"index {index.shown} is INVALID, and not by this source: IF NOT EXISTS would take it "
        "for a good one, and it may be somebody else's, so it was left alone. Look at "
        f"it, then run: DROP INDEX CONCURRENTLY {index.shown};"
    )


# -- after a success --------------------------------------------------------------------------


def verify(effect: Effect, view: View, ask: Inquiry) -> None:
    """Raise UnclearError where the server reported an index as built that is not valid."""
    if not isinstance(effect, BuildsIndex):
        return
    indexes = ask.indexes(view.subject)
    if effect.index is not None:
        built = _named(indexes, effect.index, ask)
    else:
        built = tuple(index for index in indexes if index.oid not in view.seen)
    for index in built:
        if not index.valid:
            raise UnclearError(
                f"the server reported success, and index {index.shown} is INVALID all the "
                "same. The next try drops it and builds it again."
            )


# -- after a failure or a death ---------------------------------------------------------------


def remains(effect: Effect, statement: UnderWay, ask: Inquiry) -> tuple[int, ...]:
    """Return the oids of what a refused statement has left behind half done."""
    match effect:
        case BuildsIndex():
            return _oids(i for i in _new(effect, statement, ask) if not i.valid)
        case Reindexes():
            found = ask.half_reindexed(effect.kind, effect.name)
            return _oids(i for i in found if i.oid not in statement.seen)
        case Detaches() if statement.subject is not None:
            pending = ask.detaching(statement.subject) is True
            return (statement.subject,) if pending and not statement.seen else ()
        case _:
            return ()


def judge(
    statement: UnderWay, ask: Inquiry, *, edited: bool, said_done: bool = False
) -> Judgement:
    """Decide whether an unrecorded statement is done, and what to clean up after it.

    ``edited``: another text stands in its place now; ``said_done``: one that says that it was
    done, which counts where the server cannot tell.  Raises UnclearError where nobody can.
    """
    try:
        return _judge(statement, ask, edited=edited and not said_done)
    except UnclearError as unclear:
        if unclear.edit and said_done:
            return Judgement(done=True)
        raise


def _judge(statement: UnderWay, ask: Inquiry, *, edited: bool) -> Judgement:
    if statement.atomic:
        return _judge_transaction(statement, ask)
    effect = effect_of(statement.text)
    match effect:
        case BuildsIndex():
            return _judge_build(effect, statement, ask)
        case Reindexes():
            return _judge_reindex(effect, statement, ask)
        case Detaches():
            return _judge_detach(effect, statement, ask, edited=edited)
        case _ if statement.parted and not edited:
            raise UnclearError(_parted(statement), edit=True)
        case _ if statement.left is not None or edited:
            # The server has said that it was not done, or a person has decided what follows.
            return Judgement(done=False)
        case _:
            return Judgement(done=_is_done(effect, statement, ask))


def _is_done(effect: Effect, statement: UnderWay, ask: Inquiry) -> bool:
    """Return whether a statement is done that leaves nothing half done behind."""
    match effect:
        case Makes():
            oid = ask.find(effect.kind, effect.name)
            return oid is not None and oid not in statement.seen
        case Removes():
            return any(not ask.is_there(effect.kind, oid) for oid in statement.seen)
        case Plain.REPEATABLE:
            return False
        case _:
            raise UnclearError(_unknown(statement), edit=True)


def _judge_transaction(statement: UnderWay, ask: Inquiry) -> Judgement:
    if statement.left is not None or statement.transaction is None:
        return Judgement(done=False)
    status = ask.transaction_status(statement.transaction)
    if status is None or status == "in progress":
        raise UnclearError(_unknown(statement), edit=True)
    return Judgement(done=status == "committed")


def _judge_build(effect: BuildsIndex, statement: UnderWay, ask: Inquiry) -> Judgement:
    new = _new(effect, statement, ask)
    invalid = tuple(i for i in new if not i.valid and _may_be_ours(i, statement))
    if effect.index is None and len(invalid) > 1:
        raise UnclearError(
            f"{_names(invalid)} are INVALID and new since this statement began, which gives "
            f"its index no name: one of them is its own, which one is unknown. Drop "
            f"those that nobody needs: {_drops(invalid)}"
        )
    for index in invalid:
        if index.builder is not None:
            raise UnclearError(_in_the_way(index))
    if invalid:
        note = f"index {_names(invalid)} was left INVALID: dropped, built again"
        return Judgement(False, _drop_commands(invalid), (note,))
    return Judgement(done=statement.left is None and any(index.valid for index in new))


def _judge_reindex(effect: Reindexes, statement: UnderWay, ask: Inquiry) -> Judgement:
    found = ask.half_reindexed(effect.kind, effect.name)
    ours = tuple(
        i
        for i in found
        if i.oid not in statement.seen and i.builder is None and _may_be_ours(i, statement)
    )
    if not ours:
        return Judgement(done=False)
    note = f"{_names(ours)}: left behind by the REINDEX that broke off, dropped"
    return Judgement(False, _drop_commands(ours), (note,))


def _judge_detach(
    effect: Detaches, statement: UnderWay, ask: Inquiry, *, edited: bool
) -> Judgement:
    pending = ask.detaching(statement.subject)
    if pending is None:
        left = statement.left is None or statement.subject in statement.left
        return Judgement(done=left and statement.subject is not None)
    if not pending or statement.seen or edited:
        return Judgement(done=False)
    finalize = f"ALTER TABLE {effect.parent} DETACH PARTITION {effect.partition} FINALIZE"
    note = f"partition {effect.partition} was half detached: finished with FINALIZE"
    return Judgement(True, (finalize,), (note,))


def _unknown(statement: UnderWay) -> str:
    return (
        f"the try before broke off while statement {_shown(statement)} was under way, "
        "and the server cannot tell whether it was done, or how much of it. Look at the "
        f"database. If it was not done, or may well run twice: {EDIT}"
    )


def _parted(statement: UnderWay) -> str:
    return (
        f"statement {_shown(statement)} failed in the try before after it had ended a "
        "transaction by itself, so that a part of what it does may be committed. Look at the "
        f"database. If nothing of it is, or it may well run twice: {EDIT}"
    )


def _shown(statement: UnderWay) -> str:
    begins = " ".join(statement.text.split())
    shown = begins if len(begins) <= SHOWN else f"{begins[:SHOWN]}…"
    return f"{statement.number} ({shown})"


# -- indexes ----------------------------------------------------------------------------------


def _new(effect: BuildsIndex, statement: UnderWay, ask: Inquiry) -> tuple[Index, ...]:
    """Return the indexes that a statement may have made: new ones, under its name."""
    named = _named(ask.indexes(statement.subject), effect.index, ask)
    return tuple(index for index in named if index.oid not in statement.seen)


def _named(indexes: Iterable[Index], name: str | None, ask: Inquiry) -> tuple[Index, ...]:
    if name is None:
        return tuple(indexes)
    folded = ask.folded(name)
    return tuple(index for index in indexes if index.name == folded)


def _may_be_ours(index: Index, statement: UnderWay) -> bool:
    return statement.left is None or index.oid in statement.left


def _oids(indexes: Iterable[Index]) -> tuple[int, ...]:
    return tuple(index.oid for index in indexes)


def _names(indexes: Iterable[Index]) -> str:
    return ", ".join(index.shown for index in indexes)


def _drop_commands(indexes: Iterable[Index]) -> tuple[str, ...]:
    return tuple(f"DROP INDEX CONCURRENTLY IF EXISTS {index.shown}" for index in indexes)


def _drops(indexes: Iterable[Index]) -> str:
    return " ".join(f"{command};" for command in _drop_commands(indexes))
