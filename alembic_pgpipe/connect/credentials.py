"""With which credentials a connection is opened; AWS has others, see ``aws.credentials``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from alembic_pgpipe.access import Access


class Credentials(Protocol):
    """What is asked before each connection; ``from_aws`` may answer anew each time."""

    @property
    def from_aws(self) -> bool:
        """Return whether another try may get newer ones."""

    @property
    def is_token(self) -> bool:
        """Return whether the password is a token of RDS, which only TLS may carry."""

    def fetch(self) -> Access:
        """Return what a connection is opened with now; raises UnreachableError."""

    def advice(self, user: str) -> str:
        """Return what to type next where the server does not accept them."""


@dataclass(frozen=True, slots=True)
class Given:
    """Credentials of a URL or of libpq's variables: they stay as they are."""

    access: Access
    from_aws: bool = False
    is_token: bool = False

    def fetch(self) -> Access:
        """Return what was given."""
        return self.access

    def advice(self, user: str) -> str:
        """Return where the password comes from."""
        return "Check the user and the password (PGPASSWORD, or the URL)."
