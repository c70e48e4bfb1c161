"""libpq's words about TLS → what to do; other words are none of its business."""

from __future__ import annotations

import pytest

from alembic_pgpipe.connect import tls_refusal as tls
from alembic_pgpipe.connect.tls import NAME_ROOT
from alembic_pgpipe.connect.tls_refusal import advice

AT = 'connection to server at "db", port 5432 '
HBA = 'FATAL: no pg_hba.conf entry for host "10.0.0.1", user "app", database "shop", '


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        ("SSL error: unsupported protocol", tls.VERSIONS),
        ("SSL error: no protocols available", tls.VERSIONS),
        ("SSL error: tlsv13 alert certificate required", tls.OWN_WANTED),
        ("SSL error: tlsv1 alert unknown ca", tls.OWN_REFUSED),
        ("SSL error: sslv3 alert bad certificate", tls.OWN_REFUSED),
        ("SSL error: sslv3 alert certificate revoked", tls.OWN_REFUSED),
        ("SSL error: sslv3 alert unsupported certificate", tls.OWN_REFUSED),
        ('could not open certificate file "/c": Permission denied', tls.OWN_FILES),
        ('could not read root certificate file "/c": no start line', NAME_ROOT),
        ("SSL error: certificate verify failed", tls.UNKNOWN),
        ("SSL error: certificate verify failed (certificate has expired; …)", tls.EXPIRED),
        # Servers before PostgreSQL 14.
        (HBA + "SSL off", tls.TLS_WANTED),
        (HBA + "no encryption", tls.TLS_WANTED),
        (
            f"server at ::1 failed: Connection refused {AT}failed: {HBA}no encryption",
            tls.TLS_WANTED,
        ),
        (f"{AT}failed: {HBA}no encryption {AT}failed: {HBA}no encryption", tls.TLS_WANTED),
        (HBA + "SSL on", None),
        (f"{AT}failed: {HBA}SSL encryption {AT}failed: {HBA}no encryption", None),
        (
            f"{AT}failed: FATAL: password authentication failed {AT}failed: {HBA}no encryption",
            None,
        ),
        ('FATAL: database "certificate" does not exist', None),
        ("Connection refused Is the server running on that host", None),
    ],
)
def test_each_failure_has_its_own_advice(reason: str, what: str | None) -> None:
    assert advice(reason) == what


def test_the_file_that_others_may_read_is_named() -> None:
    reason = 'private key file "/my keys/k" has group or world access; file must have …'
    assert advice(reason) == 'The key is only for you to read: chmod 600 "/my keys/k"'
