"""Why a server's certificate is not believed, which libpq does not say."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping

from sqlalchemy import URL

from alembic_pgpipe.connect.tls import believed

# The message that asks a PostgreSQL to speak TLS: its length, and the number of the request.
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
WILLING = b"S"
SECONDS = 5.0
REFUSED = re.compile(
    r'server at "(?P<host>[^"]+)"(?: \([^)]*\))?, port (?P<port>\d+) failed: '
    r"SSL error: certificate verify failed"
)


def explained(message: str, target: URL, environ: Mapping[str, str]) -> str:
    """Return libpq's message with the reason why a certificate was not believed.

    libpq tells an expired certificate from an unknown authority as little as its caller;
    so the server is asked for its certificate once more, without a login.
    """
    found = REFUSED.search(message)
    if found is None:
        return message
    root = believed(target, environ)
    reason = _reason(found["host"], int(found["port"]), root)
    told = f"{reason}; authorities: {root}".removeprefix("; ")
    return f"{message[: found.end()]} ({told}){message[found.end() :]}"


def _reason(host: str, port: int, root: str) -> str:
    """Return OpenSSL's words for what is wrong; empty where it finds nothing wrong."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        context.load_verify_locations(root)
        with socket.create_connection((host, port), SECONDS) as plain:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) == WILLING:
                context.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return str(error.verify_message)
    except OSError:
        # It was reached a moment ago; libpq's own words have to do.
        return ""
    return ""
