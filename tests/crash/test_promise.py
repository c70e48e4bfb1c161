"""A broken promise is seen: each question has an answer that it does not accept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.crash.arena import Ledger, Remains, Run
from tests.crash.faults import FAULTS, Case
from tests.crash.harness import Seen
from tests.crash.points import POINTS, Kind
from tests.crash.promise import outcome, violations

CASE = Case(next(p for p in POINTS if p.kind is Kind.TRANSACTION), FAULTS[0])
TWIN = Remains("CREATE TABLE made", ("a", "b1", "c"))
A, C = ("a", "40", "SUCCESS"), ("c", "42", "SUCCESS")
DONE = dict.fromkeys("abc", "SUCCESS")
BETWEEN = Ledger(
    {"a": "SUCCESS", "b": "RUNNING", "c": "WAITING"},
    (A, ("b", "41", "RUNNING")),
    {"41": None},
    1,
)
END = Ledger(
    DONE,
    (A, ("b", "41", "INTERRUPTED"), ("b", "42", "SUCCESS"), C),
    {"41": "FAILURE", "42": "SUCCESS"},
    1,
)
KEPT = Seen(
    first=Run(-9, ""),
    between=BETWEEN,
    effects=("a",),
    next=Run(0, ""),
    retried=False,
    ledger=END,
    remains=TWIN,
    locks=0,
)


def test_a_promise_that_was_kept_is_not_broken() -> None:
    assert violations(CASE, KEPT, TWIN) == ()
    assert outcome(CASE, KEPT) == "again"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"next": Run(1, "")}, "the next run ends with 1"),
        ({"retried": True}, "waits for a decision"),
        ({"remains": replace(TWIN, effects=("a", "b1", "b1", "c"))}, "effects are"),
        ({"remains": replace(TWIN, schema="")}, "the schema differs"),
        ({"locks": 1}, "advisory locks"),
        ({"ledger": replace(END, statuses={**DONE, "b": "RUNNING"})}, "b is RUNNING"),
        ({"ledger": replace(END, attempts=(*END.attempts, C))}, "the attempts at c"),
        ({"ledger": replace(END, attempts=(*END.attempts, ("c", "41", "RUNNING")))}, "at c"),
        ({"ledger": replace(END, builds={"41": None, "42": "SUCCESS"})}, "left open"),
        ({"ledger": replace(END, builds={"41": "SUCCESS", "42": "SUCCESS"})}, "not through"),
        ({"ledger": replace(END, builds={"41": "FAILURE"})}, "the next build is None"),
        ({"first": Run(0, "")}, "the run ended with 0"),
        ({"first": Run(1, "")}, "a killed client ended with 1"),
        (
            {
                "first": Run(5, ""),
                "ledger": replace(END, builds={"41": "SUCCESS", "42": "SUCCESS"}),
            },
            "the run ended with 5, and its build's row says SUCCESS",
        ),
        ({"effects": ("a", "b1")}, "b was applied, and the ledger says RUNNING"),
        ({"effects": ()}, "SUCCESS of a, and it was not applied"),
        ({"between": replace(BETWEEN, attempts=())}, "its attempts were"),
        ({"next": Run(0, "Traceback (most recent call last)")}, "'Traceback'"),
    ],
)
def test_a_broken_promise_is_named(changes: dict[str, Any], sentence: str) -> None:
    found = violations(CASE, replace(KEPT, **changes), TWIN)
    assert any(sentence in one for one in found), found


def test_a_run_may_not_say_that_nothing_was_applied_of_what_was() -> None:
    said = Run(-9, "[1/2] 3e23e8160039 b\nnothing of this revision was applied (rolled back)")
    found = violations(CASE, replace(KEPT, first=said, effects=("a", "b1")), TWIN)
    assert "the run said that nothing was applied of b, and it was" in found


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"first": Run(0, "")}, "done"),
        ({"retried": True}, "asked"),
        ({"next": Run(0, "resumed at statement 2 of 3")}, "resumed"),
        ({"ledger": replace(END, attempts=(A, ("b", "41", "SUCCESS"), C))}, "passed"),
    ],
)
def test_an_outcome_has_a_word(changes: dict[str, Any], word: str) -> None:
    assert outcome(CASE, replace(KEPT, **changes)) == word
