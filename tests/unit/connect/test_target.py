"""What a URL points to, in the words of a message."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import make_url

from alembic_pgpipe.connect.target import describe


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql://u@db/shop", "db:5432"),
        ("postgresql://u@db:6432/shop", "db:6432"),
        ("postgresql://u@[::1]/shop", "::1:5432"),
        ("postgresql://u@/shop", "the local socket"),
        ("postgresql://u@/shop?host=/run", "/run"),
        ("postgresql://u@/shop?host=db&port=6432", "db:6432"),
        ("postgresql://u@/shop?host=a&host=b", "a:5432, b:5432"),
        ("postgresql://u@/shop?host=a:1&host=b:2", "a:1, b:2"),
        ("postgresql://u@/shop?host=a&host=b:2", "a:5432, b:2"),
        ("postgresql://u@/shop?host=a,b&port=1,2", "a:1, b:2"),
        ("postgresql://u@/shop?host=/run,b", "/run, b:5432"),
        ("postgresql://u@a,b:6432/shop", "a:6432, b:6432"),
    ],
)
def test_each_host_is_named_with_its_port(url: str, where: str) -> None:
    assert describe(make_url(url)) == f"database shop at {where} as u"


def test_the_hosts_of_the_environment_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "a,b")
    monkeypatch.setenv("PGPORT", "1,")
    assert describe(make_url("postgresql://u@/shop")) == ("database shop at a:1, b:5432 as u")
