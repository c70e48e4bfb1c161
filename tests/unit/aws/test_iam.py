"""``auth=iam`` in a URL → the wish for a token, apart from what libpq knows."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import make_url

from alembic_pgpipe.aws.iam import IamAuth, iam_apart
from alembic_pgpipe.errors import SettingsError


def test_what_libpq_does_not_know_of_a_token_is_taken_out() -> None:
    given = "postgresql://app@db/shop?auth=iam&region=eu-west-1&sslmode=require"
    url, iam = iam_apart(make_url(given))
    assert iam == IamAuth("eu-west-1")
    assert dict(url.query) == {"sslmode": "require"}


def test_a_url_without_auth_has_no_token() -> None:
    url = make_url("postgresql://app:pw@db/shop")
    assert iam_apart(url) == (url, None)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://app:hidden@db/shop?auth=iam", "Remove one of them"),
        ("postgresql://app@db/shop?auth=kerberos", "auth=kerberos is not known"),
    ],
)
def test_a_token_that_cannot_be_meant_is_refused(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        iam_apart(make_url(url))
    assert "hidden" not in str(refused.value)
