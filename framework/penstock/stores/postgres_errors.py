"""What an error from PostgreSQL or its driver means: the data is at fault, the turn failed, or it is an outage.

Sources: the SQLSTATE classes of PostgreSQL's appendix "Error Codes"; which class means what is
decided in ARCHITECTURE.md, "Error classes".
"""

from __future__ import annotations

import errno
import ssl
from typing import TYPE_CHECKING

import asyncpg

from penstock.errors import BatchError, ConnectionLost, SinkUnavailable
from penstock.outcome import Poison, Transient

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What the driver raises, and nothing wider: a bug in a sink must not pass for a fault of the data.
#: The driver turns whatever fails while it encodes an argument into its own DataError.
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

#: Passing failures of one turn: the reason by SQLSTATE or its class. Asked before POISON; the first that fits.
TRANSIENT = {
    "40P01": "deadlock",
    "40": "serialization",
    "55P03": "lock_timeout",
    "23503": "foreign_key",
    # Two keys that differ in Python and not in PostgreSQL (citext, a uuid's case) in one statement: halving parts them.
    "21000": "same_key",
}

#: Data that can never be stored: the reason by SQLSTATE or its class.
POISON = {
    "22": "bad_data",
    "23": "constraint",
    "54000": "too_large",
}

#: SQLSTATEs after which the connection is gone, though the server said so itself.
CONNECTION_GONE = frozenset({"08000", "08003", "08006", "08007", "08P01", "57P01", "57P02", "57P05"})

#: What the system says of a connection on which nothing comes through any more: it may have carried a COMMIT.
NOTHING_COMES_THROUGH = frozenset(
    {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET}
)

#: How to mend an outage, by SQLSTATE or its class; the first that fits.
ADVICE = {
    "25006": "this server is read-only: a standby, or default_transaction_read_only is on; check POSTGRES_HOST",
    "28": "check POSTGRES_USERNAME and POSTGRES_PASSWORD",
    "3D": "check POSTGRES_DATABASE",
    "26": "behind a PgBouncer in transaction mode set postgres.statement_cache_size to 0",
    "42P05": "behind a PgBouncer in transaction mode set postgres.statement_cache_size to 0",
    "42501": "grant POSTGRES_USERNAME the right it lacks",
    "42": "the tables are not as the worker declares them: change either",
    "53300": "raise max_connections or lower postgres.pool_max",
    "53": "the server has run out of something: see its log",
    "57P03": "the server is starting or stopping",
    "57": "the server or its operator stopped the statement",
    "58": "the server's system failed: see its log",
    "XX": "the server failed inside: see its log",
    "08": "the connection failed",
}

LOST = "the connection to PostgreSQL was lost"
UNREACHABLE = "PostgreSQL cannot be reached"
CANNOT_ENCODE = "a value cannot be encoded for its column"
UNKNOWN = "an error Penstock does not know, so it waits"


def classify(error: BaseException) -> BatchError | SinkUnavailable:
    """The error to raise `from error`: BatchError with Poison or Transient, ConnectionLost or SinkUnavailable.

    A BatchError names no positions. Whatever is not known is SinkUnavailable, which pauses and
    never dead-letters. The text is one line and holds neither a password nor the server's DETAIL
    of a constraint, which quotes the row.
    """
    meaning: BatchError | SinkUnavailable
    match error:
        case asyncpg.ClientConfigurationError():
            # Its own text may quote the address, password and all.
            meaning = SinkUnavailable("PostgreSQL's address cannot be used: check POSTGRES_URL or POSTGRES_HOST")
        case asyncpg.UnsupportedClientFeatureError() | asyncpg.UnsupportedServerFeatureError():
            meaning = _unknown(error)
        case ssl.SSLCertVerificationError():
            # Before ValueError, which it is as well.
            meaning = SinkUnavailable(
                f"PostgreSQL's certificate is not accepted: {_line(error)}; "
                "check sslmode and sslrootcert in POSTGRES_URL, or POSTGRES_TLS and POSTGRES_TLS_CA"
            )
        case asyncpg.PostgresError():
            meaning = _of_sqlstate(error)
        case ValueError() | TypeError() | OverflowError():
            meaning = BatchError(Poison("bad_data", type(error).__name__, f"{CANNOT_ENCODE}: {_line(error)}"))
        case asyncpg.InterfaceError():
            meaning = ConnectionLost(f"{LOST}: {_line(error)}")
        case OSError():
            meaning = _of_system(error)
        case _:
            meaning = _unknown(error)
    return meaning


def _of_system(error: OSError) -> SinkUnavailable:
    match error:
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return ConnectionLost(f"{LOST}: {_line(error)}")
        case OSError(errno=number) if number in NOTHING_COMES_THROUGH:
            # Before TimeoutError, which ETIMEDOUT is as well.
            return ConnectionLost(f"{UNREACHABLE}: {_line(error)}; check POSTGRES_HOST and POSTGRES_PORT")
        case TimeoutError():
            return SinkUnavailable("PostgreSQL did not answer in time: check POSTGRES_HOST and the server's health")
        case FileNotFoundError():
            return SinkUnavailable(
                f"{UNREACHABLE}: a file is missing: the certificate of POSTGRES_TLS_CA or sslrootcert, or the socket "
                "in the folder that POSTGRES_HOST names"
            )
        case _:
            return SinkUnavailable(f"{UNREACHABLE}: {_line(error)}; check POSTGRES_HOST and POSTGRES_PORT")


def _of_sqlstate(error: asyncpg.PostgresError) -> BatchError | SinkUnavailable:
    state = error.sqlstate or ""
    text = _server_text(error, state)
    if state in CONNECTION_GONE:
        return ConnectionLost(f"{LOST}: {text} ({state})")
    if reason := _fitting(TRANSIENT, state):
        return BatchError(Transient(reason, state, text))
    if reason := _fitting(POISON, state):
        return BatchError(Poison(reason, state, text))
    advice = _fitting(ADVICE, state) or UNKNOWN
    return SinkUnavailable(f"PostgreSQL: {text} ({state or 'no SQLSTATE'}): {advice}")


def _fitting(texts: Mapping[str, str], state: str) -> str | None:
    return next((text for prefix, text in texts.items() if state.startswith(prefix)), None)


def _unknown(error: BaseException) -> SinkUnavailable:
    return SinkUnavailable(f"PostgreSQL: {UNKNOWN}: {type(error).__name__}: {_line(error)}")


def _server_text(error: asyncpg.PostgresError, state: str) -> str:
    """The server's message; its DETAIL only where that explains a value that cannot be, as for \\u0000."""
    if type(error) is asyncpg.DataError and error.__cause__ is not None:
        # The driver itself, encoding an argument. Its text starts with the values of the whole column.
        return f"{CANNOT_ENCODE}: {_line(error.__cause__)}"
    text = str(error.args[0]) if error.args else type(error).__name__
    return _one_line(f"{text}: {error.detail}" if error.detail and state.startswith("22") else text)


def _line(error: BaseException) -> str:
    return _one_line(str(error)) or type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())
