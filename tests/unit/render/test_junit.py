"""A closed build as a JUnit report."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from alembic_pgpipe.commands.close import ClosedBuild
from alembic_pgpipe.errors import UnreachableError
from alembic_pgpipe.ledger.cases import Case, Verdict
from alembic_pgpipe.render.junit import CASE_LIMIT, junit

PASSED = Case("a", "versions/a.py", Verdict.PASSED, seconds=1.5)
FAILED = Case("b", "versions/b.py", Verdict.FAILED, "no", "no\nwhy", "22012", 0.25)
HELD = replace(FAILED, seconds=None)
SKIPPED = Case("c", "versions/c.py", Verdict.SKIPPED, "not reached")
BUILD = ClosedBuild("7", True, "it was closed already", "log\n", "database shop")
RED = replace(BUILD, succeeded=False, what="it had no row")


def suite(build: ClosedBuild) -> ET.Element:
    [found] = ET.fromstring(junit(build)).iter("testsuite")
    return found


def failures(build: ClosedBuild) -> dict[str | None, str | None]:
    """Return the failed cases and their texts."""
    cases = suite(build).iter("testcase")
    return {c.get("name"): f.text for c in cases for f in c.iter("failure")}


def test_a_report_has_a_case_for_each_revision_and_one_for_the_build() -> None:
    found = suite(replace(RED, cases=(PASSED, FAILED, SKIPPED)))
    assert found.attrib == {
        "name": "alembic-pgpipe",
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
        "time": "1.750",
    }
    build, a, b, c = found.iter("testcase")
    assert (build.get("name"), len(build)) == ("build", 0)
    assert (a.get("name"), a.get("file"), a.get("time")) == ("a", "versions/a.py", "1.500")
    assert len(a) == 0
    assert b[0].attrib == {"type": "22012", "message": "no"}
    assert b[0].text == "no\nwhy"
    assert (c[0].tag, c[0].get("message")) == ("skipped", "not reached")


def test_a_build_that_succeeded_has_no_failure() -> None:
    assert failures(replace(BUILD, cases=(PASSED, SKIPPED))) == {}


def test_a_build_that_failed_before_any_revision_fails_with_its_log() -> None:
    assert failures(RED) == {"build": "log\n"}
    assert failures(replace(RED, cases=(SKIPPED,))) == {"build": "log\n"}


def test_a_revision_that_failed_tells_why_the_build_did() -> None:
    assert failures(replace(RED, cases=(FAILED,))) == {"b": "no\nwhy"}


def test_a_held_revision_may_not_be_what_failed_the_build() -> None:
    assert failures(replace(RED, cases=(HELD,))) == {"build": "log\n", "b": "no\nwhy"}


def test_an_error_of_the_closing_fails_the_build_though_it_succeeded() -> None:
    error = UnreachableError("does not answer")
    assert failures(replace(BUILD, error=error)) == {"build": "does not answer\n\nlog\n"}


def test_a_long_log_is_shown_from_its_end() -> None:
    text = failures(replace(RED, log="x" * 30_000 + "the end"))["build"]
    assert text is not None
    assert text.endswith("xxx" + "the end") and text.startswith("…")
    assert len(text) < 21_000


def test_a_long_message_is_cut_and_the_text_is_not() -> None:
    long = replace(FAILED, message="x" * 1000, text="y" * 1000)
    [failure] = suite(replace(RED, cases=(long,))).iter("failure")
    assert len(str(failure.get("message"))) == 300
    assert failure.text == "y" * 1000


@pytest.mark.parametrize("count", [CASE_LIMIT - 1, CASE_LIMIT, 2000])
def test_a_report_holds_500_cases_the_failed_ones_first(count: int) -> None:
    many = [replace(PASSED, name=f"r{number}") for number in range(count)]
    many[-1] = FAILED
    found = suite(replace(RED, cases=tuple(many)))
    names = [case.get("name") for case in found.iter("testcase")]
    assert len(names) == CASE_LIMIT
    assert "b" in names
    if count >= CASE_LIMIT:
        assert names[1] == "b"
        assert names[-1] == f"{count - CASE_LIMIT + 2} more revisions"
        assert "status --all" in junit(replace(RED, cases=tuple(many)))


def test_what_xml_cannot_hold_is_replaced() -> None:
    odd = "a\x00b\x1b[31m\ud800c\ufffe<&\"'>]]>ü日😀\n"
    shown = "a\ufffdb\ufffd[31m\ufffdc\ufffd<&\"'>]]>ü日😀\n"
    case = Case(odd, odd, Verdict.FAILED, odd, odd, odd)
    found = suite(replace(RED, cases=(case,), log=odd, database=odd, notes=(odd,)))
    [_, element] = found.iter("testcase")
    assert (element.get("name"), element.get("file")) == (shown, shown)
    assert element[0].attrib == {"type": shown, "message": shown}
    assert element[0].text == shown


def test_the_report_says_which_build_on_which_database() -> None:
    out = suite(replace(BUILD, notes=("a note",))).findtext("system-out")
    assert out == "build 7: SUCCESS\ndatabase shop\na note"
