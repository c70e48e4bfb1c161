"""What to do where TLS fails, from libpq's own words."""

from __future__ import annotations

import re

from alembic_pgpipe.connect.tls import NAME_ROOT


def advice(reason: str) -> str | None:
    """Return what to do about libpq's message; None where it is not about TLS.

    ``reason`` is on one line, and says why a certificate was not believed where that is
    known.
    """
    for sign, what in ADVICE:
        found = re.search(sign, reason)
        if found:
            return found.expand(what)
    return TLS_WANTED if _wants_tls(reason) else None


def is_mended_by_time(what: str) -> bool:
    """Return whether a piece of advice is about something that passes by itself."""
    return what == TOO_EARLY


def _wants_tls(reason: str) -> bool:
    """Return whether plain text was the only thing that the server had against anybody.

    With "prefer" libpq tries plain text as well where TLS was fine and the password was
    not, and tells of both.
    """
    answers = reason.split(ANSWER)[1:]
    return bool(answers) and all(re.search(IN_PLAIN_TEXT, answer) for answer in answers)


VERSIONS = (
    "Server and client have no version of TLS in common: look at ssl_min_protocol_version and "
    "ssl_max_protocol_version on the server, and in the URL (PGSSLMINPROTOCOLVERSION, "
    "PGSSLMAXPROTOCOLVERSION)."
)
OWN_KEY = r'The key is only for you to read: chmod 600 "\1"'
OWN_FILES = (
    "Name the client's certificate in sslcert (PGSSLCERT), and the key that belongs to it in "
    "sslkey (PGSSLKEY): files in PEM that exist."
)
OWN_WANTED = (
    "The server asks who the client is: name a certificate of the client's own in the URL's "
    "sslcert (PGSSLCERT), and its key in sslkey (PGSSLKEY)."
)
OWN_REFUSED = (
    "The server does not believe the client's certificate (sslcert): get one that is in date, "
    "from an authority in the server's ssl_ca_file."
)
OTHER_NAME = (
    "Connect to a name that the certificate has: on RDS and Aurora that is the endpoint, not "
    "an address or an alias. pgpipe.sslmode = verify-ca believes any name."
)
NO_NAME = "verify-full compares a name with the certificate: give host besides hostaddr."
EXPIRED = (
    "Renew the server's certificate; on RDS and Aurora, choose an authority that is in date. "
    "Where it is the authority that is out of date, get a newer file for pgpipe.sslrootcert."
)
TOO_EARLY = "Compare the clocks of this machine and of the one that made the certificate."
UNKNOWN = (
    "Whoever answers there has a certificate that no authority which is believed has signed. "
    f"{NAME_ROOT}"
)
NO_TLS = (
    "Turn TLS on there (ssl = on, with a certificate); or, where plain text is what you want, "
    "set pgpipe.sslmode = disable."
)
NO_POSTGRESQL = "What listens there is no PostgreSQL: check host and port."
TLS_WANTED = (
    "The server takes nobody without TLS (on RDS: rds.force_ssl). Set pgpipe.sslmode = "
    "require; or verify-full, together with pgpipe.sslrootcert."
)
# How the server's own words begin, for each address and each way that libpq has tried.
ANSWER = "FATAL:"
IN_PLAIN_TEXT = r"pg_hba\.conf.*(?:no encryption|SSL off)"
# Regular expressions, looked for in this order: what fails first is told first.
ADVICE = (
    ("protocol version|unsupported protocol|no protocols|_protocol_version", VERSIONS),
    (r'private key file "([^"]+)" has group or world access', OWN_KEY),
    ("private key file|could not (?:read|open) certificate file", OWN_FILES),
    ("requires a valid client certificate|alert certificate required", OWN_WANTED),
    ("alert (?:unknown ca|bad certificate|(?:unsupported )?certificate)", OWN_REFUSED),
    ("does not match host name", OTHER_NAME),
    ("host name must be specified", NO_NAME),
    (r"certificate verify failed \(certificate has expired", EXPIRED),
    (r"certificate verify failed \(certificate is not yet valid", TOO_EARLY),
    ("certificate verify failed", UNKNOWN),
    ("root certificate file", NAME_ROOT),
    ("weak sslmode", "Set pgpipe.sslmode = verify-full."),
    ("server does not support SSL", NO_TLS),
    ("invalid response to SSL negotiation", NO_POSTGRESQL),
)
