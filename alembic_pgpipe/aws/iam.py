"""``auth=iam``, in a URL or beside a secret's name: whether a token of RDS is the password."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import URL

from alembic_pgpipe.errors import SettingsError

IAM = "iam"


@dataclass(frozen=True, slots=True)
class IamAuth:
    """The wish for a token of RDS in place of a password, and its region where given."""

    region: str | None


def iam_apart(url: URL) -> tuple[URL, IamAuth | None]:
    """Take ``auth=iam`` and ``region=`` out of a URL, for libpq knows neither."""
    given = url.query.get("auth")
    if given is None or not is_iam(str(given), "sqlalchemy.url"):
        return url, None
    if url.password:
        raise SettingsError(
            "sqlalchemy.url has a password and auth=iam, which makes one. Remove one of them."
        )
    region = url.query.get("region")
    bare = url.difference_update_query(["auth", "region"])
    return bare, IamAuth(str(region) if region else None)


def is_iam(auth: str | None, where: str) -> bool:
    """Return whether ``auth=`` asks for a token of RDS; raises SettingsError for others."""
    if auth not in (None, IAM):
        raise SettingsError(
            f"{where}: auth={auth} is not known. Write auth=iam, or leave it out and have the "
            "password in the secret or the URL."
        )
    return auth == IAM
