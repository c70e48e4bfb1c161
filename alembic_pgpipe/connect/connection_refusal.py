"""A sentence for each way in which a connection is refused: what, where, what to type next."""

from __future__ import annotations

from sqlalchemy import URL

from alembic_pgpipe.connect import tls_refusal
from alembic_pgpipe.connect.connector import is_not_accepted
from alembic_pgpipe.connect.credentials import Credentials
from alembic_pgpipe.connect.target import describe, user_of
from alembic_pgpipe.errors import WAIT, UnreachableError
from alembic_pgpipe.showable import as_sentences

NO_ROOM = "The server has no free connection; try again, or raise max_connections."
NO_PORT = "A port is a number up to 65535: mend PGPORT, or the port in the URL or the secret."
RECOVERING = (
    "shutting down",
    "starting up",
    "in recovery mode",
    "not yet accepting connections",
)
RECOVERS = f"It is on its way: {WAIT}"
ADVICE = (
    ("no password supplied", "Set PGPASSWORD, or put the password into the secret."),
    ("does not exist", "Check the name in {}, or create it."),
    (
        "is not permitted to log in",
        "Name another user in {}, or let a superuser run: ALTER ROLE … LOGIN;",
    ),
    (
        "is not currently accepting connections",
        "Somebody has closed it. Let a superuser run: ALTER DATABASE … ALLOW_CONNECTIONS true;",
    ),
    ("invalid port number", NO_PORT),
    ('for connection option "port"', NO_PORT),
    ("pg_hba.conf", "The server's pg_hba.conf does not let this user in from here."),
    ("permission denied for database", "Grant it: GRANT CONNECT ON DATABASE … TO …;"),
    ("too many clients", NO_ROOM),
    ("remaining connection slots", NO_ROOM),
    (
        "too many connections",
        "A run needs three connections at once: end others, or raise the CONNECTION LIMIT.",
    ),
    (
        "unsupported startup parameter",
        "Take it out of the URL and PGOPTIONS, or into PgBouncer's ignore_startup_parameters.",
    ),
    (
        "no more connections allowed",
        "The pooler is full: try again, or raise its max_client_conn.",
    ),
    ("could not write", "Its disk may be full: make room there, then: alembic upgrade head"),
    ("No space left on device", "Make room there, then: alembic upgrade head"),
    (
        "invalid connection option",
        "Remove that parameter from the URL's query; libpq does not know it.",
    ),
)


def connection_refusal(
    target: URL, text: str, credentials: Credentials, named_in: str
) -> UnreachableError:
    """Return the error for a connection that is refused.

    ``text`` is libpq's own message; it has no SQLSTATE for a connection that failed,
    so its wording decides.  No time mends what TLS has against somebody, but for a
    certificate that is not valid yet.
    """
    reason = as_sentences(text).rstrip(".?")
    about_tls = tls_refusal.advice(reason)
    if about_tls is not None:
        said = f"No connection to {describe(target)}: {reason}. {about_tls}"
        return UnreachableError(said, final=not tls_refusal.is_mended_by_time(about_tls))
    refused = f"{_sentence(describe(target))} refuses the connection: {reason}."
    if is_not_accepted(reason):
        return UnreachableError(f"{refused} {credentials.advice(user_of(target))}")
    if any(sign in reason for sign in RECOVERING):
        return UnreachableError(f"{refused} {RECOVERS}", recovering=True)
    for sign, advice in ADVICE:
        if sign in reason:
            return UnreachableError(f"{refused} {advice.format(named_in)}")
    return UnreachableError(
        f"{_sentence(describe(target))} does not answer: {reason}. Check host, port and "
        f"network, then: {WAIT}"
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
