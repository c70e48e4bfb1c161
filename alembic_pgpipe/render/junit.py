"""A closed build as a JUnit report, for the test pages of CI systems."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from xml.etree import ElementTree as ET

from alembic_pgpipe.commands.close import ClosedBuild
from alembic_pgpipe.ledger.cases import Case, Verdict

SUITE = "alembic-pgpipe"
# CodeBuild takes no more in one report.
CASE_LIMIT = 500
MESSAGE_LIMIT = 300
LOG_LIMIT = 20_000
# All that XML 1.0 has no place for; a lone surrogate is no character at all.
UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ORDER = {Verdict.FAILED: 0, Verdict.SKIPPED: 1, Verdict.PASSED: 2}


def junit(build: ClosedBuild, typed: Callable[[str], str] = str) -> str:
    """Return the report: one case for each revision, and one for the build itself.

    ``typed`` returns a text with its commands as they have to be typed here.
    The build's own case fails where the build did and no revision that it tried.  Of more
    cases than a report holds, the failed ones come first and one case counts the rest.
    """
    cases = [_build_case(build), *_fitting(build.cases)]
    suite = ET.Element("testsuite", {"name": SUITE, **_counts(cases)})
    for case in cases:
        suite.append(_element(case))
    if build.database:
        ET.SubElement(suite, "system-out").text = _fit(_about(build))
    for element in suite.iter():
        element.text = typed(element.text) if element.text else None
        if (message := element.get("message")) is not None:
            element.set("message", typed(message))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _build_case(build: ClosedBuild) -> Case:
    seconds = sum(case.seconds or 0.0 for case in build.cases)
    if build.error is not None:
        text = f"{build.error}\n\n{_tail(build.log)}"
        kind = type(build.error).__name__
        return Case("build", "", Verdict.FAILED, str(build.error), text, kind, seconds)
    # A revision that is held failed in another build, and may not be what failed this one.
    told = any(c.verdict is Verdict.FAILED and c.seconds is not None for c in build.cases)
    if build.succeeded or told:
        return Case("build", "", Verdict.PASSED, seconds=seconds)
    message = f"build {build.number} failed: {build.what}"
    return Case("build", "", Verdict.FAILED, message, _tail(build.log), "FAILURE", seconds)


def _fitting(cases: tuple[Case, ...]) -> Iterable[Case]:
    """Return as many cases as fit beside the build's own."""
    if len(cases) < CASE_LIMIT:
        return cases
    first = sorted(cases, key=lambda case: ORDER[case.verdict])[: CASE_LIMIT - 2]
    left_out = len(cases) - len(first)
    why = f"a report holds {CASE_LIMIT} cases: alembic pgpipe status --all shows every revision"
    return (*first, Case(f"{left_out} more revisions", "", Verdict.SKIPPED, why))


def _counts(cases: list[Case]) -> dict[str, str]:
    verdicts = [case.verdict for case in cases]
    return {
        "tests": str(len(cases)),
        "failures": str(verdicts.count(Verdict.FAILED)),
        "errors": "0",
        "skipped": str(verdicts.count(Verdict.SKIPPED)),
        # The build's own time holds that of its revisions.
        "time": f"{cases[0].seconds or 0:.3f}",
    }


def _element(case: Case) -> ET.Element:
    seconds = f"{case.seconds or 0:.3f}"
    element = ET.Element("testcase", name=_fit(case.name), classname=SUITE, time=seconds)
    if case.file:
        element.set("file", _fit(case.file))
    if case.verdict is Verdict.FAILED:
        failure = ET.SubElement(element, "failure", type=_fit(case.kind))
        failure.set("message", _fit(_short(case.message)))
        failure.text = _fit(case.text)
    elif case.verdict is Verdict.SKIPPED:
        ET.SubElement(element, "skipped", message=_fit(_short(case.message)))
    return element


def _about(build: ClosedBuild) -> str:
    outcome = "SUCCESS" if build.succeeded else "FAILURE"
    return "\n".join([f"build {build.number}: {outcome}", build.database, *build.notes])


def _tail(log: str) -> str:
    return log if len(log) <= LOG_LIMIT else f"…{log[-LOG_LIMIT:]}"


def _short(text: str) -> str:
    return text if len(text) <= MESSAGE_LIMIT else f"{text[: MESSAGE_LIMIT - 1]}…"


def _fit(text: str) -> str:
    """Return a text that XML can hold."""
    return UNFIT.sub("\ufffd", text)
