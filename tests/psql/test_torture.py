"""File by file, the reader cuts exactly the strings that psql sends."""

from __future__ import annotations

import pytest

from alembic_pgpipe.errors import SourceError
from tests.psql.cases import ACCEPTED, MEANT, REFUSED, file, files
from tests.psql.client import Psql
from tests.psql.comparison import cut, differences

APART = {**MEANT, **ACCEPTED}
ALIKE = [name for name in files() if name not in REFUSED and name not in APART]


def first_difference(psql: Psql, name: str) -> str:
    path = file(name)
    found = differences(psql.sent(path), cut(path.read_bytes(), str(path)))
    return str(found[0]) if found else ""


@pytest.mark.parametrize("name", ALIKE)
def test_cuts_what_psql_sends(psql: Psql, name: str) -> None:
    difference = first_difference(psql, name)
    assert not difference, difference


@pytest.mark.parametrize("name", APART)
def test_a_known_difference_is_still_one(psql: Psql, name: str) -> None:
    try:
        difference = first_difference(psql, name)
    except SourceError as refusal:
        difference = str(refusal)
    assert difference, f"{name} is read as psql reads it now: take it out of cases.py"


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_with_the_place_and_a_hint(name: str) -> None:
    expected = REFUSED[name]
    with pytest.raises(SourceError) as caught:
        cut(file(name).read_bytes(), f"{name}.sql")
    assert (caught.value.line, caught.value.column) == (expected.line, expected.column)
    assert expected.words in caught.value.problem


def test_every_case_has_its_file() -> None:
    assert {*REFUSED, *APART} <= set(files())
