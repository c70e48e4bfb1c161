"""Credentials that AWS has: those in a secret, or a token of RDS for a URL's user."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import URL

from alembic_pgpipe.access import Access
from alembic_pgpipe.aws.iam import IamAuth
from alembic_pgpipe.aws.refusal import connect_statement
from alembic_pgpipe.aws.secret_reference import SecretReference, read_port
from alembic_pgpipe.aws.secret_shape import read_secret
from alembic_pgpipe.aws.secrets import Aws
from alembic_pgpipe.errors import SettingsError

# DB.ID.REGION.rds.amazonaws.com; in China DB.ID.rds.REGION.amazonaws.com.cn.
RDS_HOST = re.compile(
    r"\.(?:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.rds|rds\.(?P<china>cn-[a-z]+-\d))\.amazonaws\."
)
DEFAULT_PORT = 5432


@dataclass(frozen=True, slots=True)
class InSecret:
    """Credentials in a secret: read again for each connection, for it may be rotated."""

    reference: SecretReference
    environ: Mapping[str, str]
    aws: Aws
    from_aws: bool = True

    @property
    def is_token(self) -> bool:
        """Return whether the secret only says who and where."""
        return self.reference.iam

    def fetch(self) -> Access:
        """Return what the secret says now, and what is said instead of it."""
        reference = self.reference
        wanted = ("username",) if reference.iam else ("username", "password")
        access = read_secret(reference.name, self.aws.secret(reference), wanted)
        url = access.url
        if not _host(url) and reference.known_host(self.environ) is None:
            found = self.aws.endpoint(reference)
            url = url.set(
                host=found.host,
                port=url.port or found.port,
                database=url.database or found.database,
            )
        access = replace(access, url=reference.placed(url, self.environ))
        if not reference.iam:
            return access
        # The secret's region is not always the database's, which its host name tells.
        region = region_of_host(access.url.host or "") or reference.region
        return _with_token(access, self.environ, self.aws, region)

    def advice(self, user: str) -> str:
        """Return how to find out why the secret and the database do not agree."""
        if self.is_token:
            return _token_advice(user, self.reference.region)
        region = f" --region {self.reference.region}" if self.reference.region else ""
        return (
            f"The password in secret {self.reference.name!r} is not that of the database. See "
            "whether a rotation has failed: aws secretsmanager describe-secret --secret-id "
            f"{shlex.quote(self.reference.name)}{region}"
        )


@dataclass(frozen=True, slots=True)
class ByToken:
    """A URL's user, with a fresh token of RDS for each connection."""

    url: URL
    iam: IamAuth
    environ: Mapping[str, str]
    aws: Aws
    from_aws: bool = True
    is_token: bool = True

    def fetch(self) -> Access:
        """Return the URL with a token beside it."""
        return _with_token(Access(self.url), self.environ, self.aws, self.iam.region)

    def advice(self, user: str) -> str:
        """Return what a user of tokens needs in the database and in IAM."""
        return _token_advice(user, self.iam.region)


def _with_token(
    access: Access, environ: Mapping[str, str], aws: Aws, region: str | None
) -> Access:
    """Return an access with a token; the token holds for one host, port and user only."""
    url = access.url
    host, user = _host(url) or environ.get("PGHOST"), url.username or environ.get("PGUSER")
    # A socket of this machine is no place that RDS makes tokens for.
    host = None if host and host.startswith("/") else host
    if not host or not user:
        lacking = " and ".join(
            name for name, value in (("a host", host), ("a user", user)) if not value
        )
        raise SettingsError(
            f"auth=iam needs {lacking}: a token is made for one user on one host. Write "
            "postgresql://USER@HOST:5432/DATABASE?auth=iam."
        )
    port = url.port or read_port(environ.get("PGPORT", ""), "PGPORT") or DEFAULT_PORT
    token = aws.token(host, port, user, region_of_host(host) if region is None else region)
    url = url.set(username=user, host=host, port=port)
    return replace(access, url=url.difference_update_query(["host", "port"]), password=token)


def region_of_host(host: str) -> str | None:
    """Return the region that the host name of an RDS database tells, else None."""
    found = RDS_HOST.search(host)
    return (found["region"] or found["china"]) if found else None


def _host(url: URL) -> str | None:
    given = url.query.get("host")
    return url.host or (given if isinstance(given, str) else None)


def _token_advice(user: str, region: str | None) -> str:
    return (
        f'The database takes no token for {user}. In the database: GRANT rds_iam TO "{user}"; '
        f"in IAM allow the role: {connect_statement(region, user)} And IAM authentication must "
        "be enabled on the instance, and the host be its own endpoint."
    )
