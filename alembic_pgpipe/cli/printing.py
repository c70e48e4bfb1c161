"""What the commands say: harmless to a terminal, and with commands as they are typed here."""

from __future__ import annotations

import os
import sys
from typing import IO, Any

import click

from alembic_pgpipe.errors import CheckError
from alembic_pgpipe.invocation import invocation
from alembic_pgpipe.showable import harmless, redacted, spellings

SECRETS = "alembic_pgpipe.secrets"


def show(text: str, *, err: bool = False) -> None:
    """Print what people read, with its commands as they have to be typed here."""
    print_harmless(as_called(text), err=err)


def show_json(text: str) -> None:
    """Print what a program reads."""
    print_harmless(in_json(text))


def in_json(text: str) -> str:
    """Return JSON whose commands are for the project and section of the running one."""
    return invocation(click.get_current_context().obj).typed_in_json(text)


def print_harmless(text: str, *, err: bool = False) -> None:
    """Print what may quote others: harmless to a terminal, and as its encoding allows."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    click.echo(harmless(text).encode(encoding, "replace").decode(encoding), err=err)


def as_called(text: str) -> str:
    """Return a text whose commands are for the project and section of the running one."""
    context = click.get_current_context(silent=True)
    known = context is not None and context.obj is not None
    return invocation(context.obj).typed(text) if context and known else text


def without_secrets(text: str) -> str:
    """Return what quotes files and servers without the secrets that the command has used."""
    secrets: set[str] = click.get_current_context().meta[SECRETS]
    given = filter(None, (*secrets, os.environ.get("PGPASSWORD")))
    return redacted(text, {spelling for secret in given for spelling in spellings(secret)})


class Findings(click.ClickException):
    """What a check found: its own words on standard output, and the exit code.

    ``as_json`` is printed in place of the words, which a build's log keeps.
    """

    exit_code = CheckError.exit_code

    def __init__(self, message: str, as_json: str | None = None) -> None:
        super().__init__(as_called(message))
        self.as_json = as_json

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the findings as they are."""
        print_harmless(self.message if self.as_json is None else self.as_json)
