"""The build log: what no line may hold, and what the last one says."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from sqlalchemy import URL

from alembic_pgpipe.errors import LedgerError
from alembic_pgpipe.ledger.build import current_build
from alembic_pgpipe.run.build_log import BuildLog
from alembic_pgpipe.showable import spellings

SECRET = "a\"b'c\\d/e@f%g\u00e9"


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        SECRET.replace("'", "''"),
        repr(SECRET),
        json.dumps({"password": SECRET}),
        json.dumps({"password": SECRET}, ensure_ascii=False),
        URL.create("postgresql", "app", SECRET, "db").render_as_string(hide_password=False),
        quote_plus(SECRET),
    ],
    ids=["as it is", "SQL", "Python", "JSON", "JSON in Unicode", "URL", "form"],
)
def test_a_secret_is_known_however_it_is_written(text: str) -> None:
    assert any(spelling in text for spelling in spellings(SECRET))


@pytest.mark.parametrize(
    ("error", "last"),
    [
        (LedgerError("It is full."), "It is full."),
        (KeyboardInterrupt(), "interrupted"),
        (ValueError("no"), "ValueError: no"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_what_ends_a_run_ends_its_log(tmp_path: Path, error: BaseException, last: str) -> None:
    file = tmp_path / "migration.log"
    build = current_build({}, None)
    with pytest.raises(type(error)), BuildLog(build, file, lambda _: None):
        raise error
    assert file.read_text().endswith(f"\n{last}\n")
