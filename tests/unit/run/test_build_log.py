"""The build log: what no line may hold."""

from __future__ import annotations

import json
from urllib.parse import quote_plus

import pytest
from sqlalchemy import URL

from alembic_pgpipe.run.build_log import spellings

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
