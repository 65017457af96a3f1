"""TLS to the broker: whose certificates are accepted, which one is shown, and what to do where one is not accepted."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from penstock.settings import RabbitMQ

#: X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL.
_FOR_ANOTHER_HOST = frozenset({62, 64})
#: As OpenSSL names what a server says to a client that has not shown a certificate it accepts.
_WANTS_CERTIFICATE = frozenset(
    {
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)
_CERTIFICATE_MEND = "set RABBITMQ_TLS_CERT and RABBITMQ_TLS_KEY to one that it accepts"
#: How a connection ends before the reason is read.
_HUNG_UP = (ConnectionResetError, BrokenPipeError, asyncio.IncompleteReadError)
#: What a TLS client takes the answer of a server without TLS for.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})


def check_authority(path: str | None) -> str | None:
    """Return `path` as it is if it holds certificates. Raises ValueError."""
    if path is not None:
        check_readable(path)
        try:
            ssl.create_default_context(cafile=path)
        except ssl.SSLError:
            raise ValueError(f"names {path}, which holds no certificate in PEM form") from None
    return path


def check_readable(path: str | None) -> str | None:
    """Return `path` as it is if it can be read. Raises ValueError."""
    if path is not None:
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise ValueError(f"names {path}, which cannot be read: {error.strerror}") from None
    return path


def check_together(settings: RabbitMQ) -> None:
    """Raise ValueError where the settings of TLS do not go together."""
    given = [name for name in ("tls_ca", "tls_cert", "tls_key") if getattr(settings, name) is not None]
    url = settings.url.get_secret_value() if settings.url is not None else ""
    if "no_verify_ssl" in dict(parse_qsl(url.partition("?")[2], keep_blank_values=True)):
        text = "url has no_verify_ssl: whose certificate is not verified may be anybody; name its authority as tls_ca"
        raise ValueError(text)
    if url.startswith("amqp:") and (settings.tls or given):
        raise ValueError(f"url is without TLS, and {(given or ['tls'])[0]} asks for it: begin url with amqps://")
    if given and not (settings.tls or url):
        raise ValueError(f"{given[0]} is set and TLS is off: set RABBITMQ_TLS=true")
    if settings.tls_key is not None and settings.tls_cert is None:
        raise ValueError("tls_key is set without tls_cert, the certificate that it belongs to")
    try:
        context_of(settings)
    except OSError:
        text = "tls_cert and tls_key are no certificate and its key, in PEM form and without a passphrase"
        raise ValueError(text) from None


def context_of(settings: RabbitMQ) -> ssl.SSLContext | None:
    """How TLS is to be spoken; None where the URL alone says it. Raises OSError where a file is not as it was.

    Made anew for each connection, so that certificates can be exchanged while a process runs.
    """
    if settings.tls_ca is None and settings.tls_cert is None:
        return None
    context = ssl.create_default_context(cafile=settings.tls_ca)
    if settings.tls_cert is not None:
        # Without a passphrase OpenSSL would ask for one on the terminal.
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    return context


def explanation(error: BaseException, url: str) -> str | None:
    """What went wrong with TLS and how to mend it, in one line; None where it was something else, or no TLS."""
    found: BaseException | None = error if url.startswith("amqps:") else None
    while found is not None and not isinstance(found, (ssl.SSLError, *_HUNG_UP)):
        found = found.__cause__
    match found:
        case None:
            return None
        case ssl.SSLCertVerificationError():
            return _of_its_certificate(found)
        case ssl.SSLError():
            return _of_the_handshake(getattr(found, "reason", None) or str(found))
        case _:
            return f"it hangs up; it may not accept this client's certificate, or want one: {_CERTIFICATE_MEND}"


def _of_its_certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _FOR_ANOTHER_HOST:
        return f"its certificate is for another host ({error.verify_message}): set RABBITMQ_HOST to the name in it"
    mend = "set RABBITMQ_TLS_CA to the file of the authority that signed it"
    return f"its certificate is not accepted ({error.verify_message}): {mend}"


def _of_the_handshake(reason: str) -> str:
    if reason in _NO_TLS:
        return "it speaks no TLS at this port: check RABBITMQ_PORT (5671 as a rule) and RABBITMQ_TLS"
    if reason in _WANTS_CERTIFICATE:
        return f"it does not accept this client's certificate, or wants one ({reason}): {_CERTIFICATE_MEND}"
    return f"TLS fails ({reason}): check RABBITMQ_TLS and RABBITMQ_PORT"
