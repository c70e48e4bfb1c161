"""A project that is shipped to its database and to the one that it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import URL, make_url

from tests.project import Project


@dataclass
class Shipped(Project):
    """A project with a rehearsal in a second database of the same server."""

    def rehearse_in(self, database: URL, **options: str) -> None:
        """Let a database stand for the rehearsal's."""
        url = database.render_as_string(hide_password=False).replace("%", "%%")
        self.configure(rehearsal_url=url, **options)

    def ship(self) -> None:
        """Write what is missing, and run it in both databases."""
        self.ok("pgpipe", "wrap")
        self.ok("upgrade", "head")
        self.rehearse()

    def rehearse(self) -> None:
        """Bring the rehearsal to the head."""
        with self.other() as other:
            other.ok("upgrade", "head")

    @contextmanager
    def other(self) -> Iterator[Project]:
        """Give the project as it is on the rehearsal's database."""
        before, self.url = self.url, make_url(self.options["rehearsal_url"].replace("%%", "%"))
        self.configure()
        yield self
        self.url = before
        self.configure()
