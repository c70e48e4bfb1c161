"""The promise, as questions to what came of a case.  Nothing here reads or writes anything."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator

from alembic_pgpipe.run.build_log import NOT_CLOSED
from tests.crash.arena import Ledger, Remains
from tests.crash.faults import Case, Deed
from tests.crash.harness import Seen
from tests.crash.points import Kind

DONE = "SUCCESS"
REVISIONS = ("a", "b", "c")
# What only a programmer can read has no place in a build log.
RAW = ("Traceback", "PendingRollbackError", "Background on this error", "sqlalche.me")
STEP = re.compile(r"^\[\d+/\d+\] \S+ (\w+)", re.M)
NOTHING = "nothing of this revision was applied"
# What the next run had to do with the revision that was disturbed.
AGAIN, RESUMED, PASSED, ALL_DONE, ASKED = "again", "resumed", "passed", "done", "asked"


def violations(case: Case, seen: Seen, twin: Remains) -> tuple[str, ...]:
    """Return where the promise was broken, each as a sentence; none where it was kept."""
    return (
        *_at_the_end(case, seen, twin),
        *_of_the_builds(case, seen),
        *_of_the_run(case, seen),
        *_in_between(case, seen),
        *_in_words(case, seen),
    )


def outcome(case: Case, seen: Seen) -> str:
    """Return, in a word, what became of the disturbed revision.

    ``done``: the run went through all the same.  ``passed``: the revision was committed, and
    the next run passed it.  ``again``: nothing had been applied, and the next run ran it.
    ``resumed``: the next run went on after its finished statements.  ``asked``: it had
    failed, and a person had to say ``retry``.
    """
    if seen.first.code == 0:
        return ALL_DONE
    if seen.retried:
        return ASKED
    name = disturbed(case)
    if not any(n == name and build == "42" for n, build, _ in seen.ledger.attempts):
        return PASSED
    resumed = ("resumed at statement", "are done already", "had committed it there")
    return RESUMED if any(sign in seen.next.output for sign in resumed) else AGAIN


def raised(case: Case) -> bool:
    """Return whether an exception comes up in the tool's own code."""
    return case.fault.deed is Deed.RAISE


def disturbed(case: Case) -> str:
    """Return the name of the revision that is disturbed."""
    return "a" if case.point.kind is Kind.FIRST else "b"


def _at_the_end(case: Case, seen: Seen, twin: Remains) -> Iterator[str]:
    if seen.next.code != 0:
        yield f"the next run ends with {seen.next.code}"
    if seen.retried and case.fault.deed not in (Deed.RAISE, Deed.REFUSE):
        yield "the next run waits for a decision, though nobody wrote anything wrong"
    if seen.remains.effects != twin.effects:
        yield f"effects are {seen.remains.effects}, undisturbed {twin.effects}"
    if seen.remains.schema != twin.schema:
        yield "the schema differs from an undisturbed one"
    if seen.locks:
        yield f"{seen.locks} advisory locks are left"
    yield from _of_the_revisions(seen)


def _of_the_revisions(seen: Seen) -> Iterator[str]:
    for name in REVISIONS:
        if seen.ledger.statuses.get(name) != DONE:
            yield f"{name} is {seen.ledger.statuses.get(name)}"
        outcomes = Counter(o for n, _, o in seen.ledger.attempts if n == name)
        if outcomes[DONE] != 1 or outcomes["RUNNING"]:
            yield f"the attempts at {name} ended {dict(outcomes)}"


def _of_the_builds(case: Case, seen: Seen) -> Iterator[str]:
    builds = seen.ledger.builds
    if builds.get("42") != DONE:
        yield f"the next build is {builds.get('42')}"
    told = NOT_CLOSED in seen.first.output
    if seen.first.code == 0 and builds.get("41") != DONE and not told:
        yield f"the build was through, and its row says {builds.get('41')}"
    # An exception, as a signal, may come when the row has been closed.
    failed = seen.first.code not in (0, 130, -signal.SIGKILL) and not raised(case)
    if failed and builds.get("41") == DONE:
        yield f"the run ended with {seen.first.code}, and its build's row says SUCCESS"
    if "41" in builds and builds["41"] is None:
        yield "the build's row is left open"
    through = seen.between is not None and _all_done(seen.between)
    if builds.get("41") == DONE and not through and case.fault.deed is not Deed.VANISH:
        yield "the build's row says SUCCESS, and it was not through"


def _of_the_run(case: Case, seen: Seen) -> Iterator[str]:
    code, number = seen.first.code, case.fault.number
    if number is signal.SIGKILL and code != -signal.SIGKILL:
        yield f"a killed client ended with {code}"
    if number in (signal.SIGTERM, signal.SIGINT) and code not in (0, 130):
        yield f"a stopped run ended with {code}"
    if code == 0 and (seen.between is None or not _all_done(seen.between)):
        yield f"the run ended with 0, and the ledger says {seen.between}"


def _in_between(case: Case, seen: Seen) -> Iterator[str]:
    """Ask whether the ledger told the truth after the disturbed run, before the next."""
    if seen.between is None:
        return
    for name in REVISIONS:
        yield from _of_one(case, seen, seen.between, name)


def _of_one(case: Case, seen: Seen, between: Ledger, name: str) -> Iterator[str]:
    status = between.statuses.get(name)
    says = status == DONE
    done = sum(effect.startswith(name) for effect in seen.effects)
    if says and not done:
        yield f"the ledger says SUCCESS of {name}, and it was not applied"
    if done and not says and case.point.kind not in (Kind.ALONE, Kind.ELSEWHERE):
        yield f"{name} was applied, and the ledger says {status}"
    attempted = any(n == name and o == DONE for n, _, o in between.attempts)
    if says is not attempted:
        yield f"{name} is {status}, and its attempts were {between.attempts}"
    if NOTHING in seen.first.output and name == _last_step(seen.first.output) and done:
        yield f"the run said that nothing was applied of {name}, and it was"


def _last_step(output: str) -> str | None:
    """Return the name of the revision that a run came to last."""
    steps = STEP.findall(output)
    return steps[-1] if steps else None


def _in_words(case: Case, seen: Seen) -> Iterator[str]:
    for which, run in (("disturbed", seen.first), ("next", seen.next)):
        # An error of the tool's own is shown as Python shows it.
        own = which == "disturbed" and raised(case)
        for sign in RAW:
            if sign in run.output and not own:
                yield f"the output of the {which} run has {sign!r}"


def _all_done(ledger: Ledger) -> bool:
    return all(ledger.statuses.get(name) == DONE for name in REVISIONS)
