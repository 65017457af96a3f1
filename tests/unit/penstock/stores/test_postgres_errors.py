"""What each error of PostgreSQL means, case by case."""

from __future__ import annotations

import errno
import socket
import ssl

import asyncpg
import pytest

from penstock.errors import BatchError, ConnectionLost, SinkUnavailable
from penstock.outcome import Poison, Transient
from penstock.stores.postgres_errors import classify

SECRET = "hunter2"


def server_error(
    sqlstate: str, message: str = "the server's words", detail: str | None = None
) -> asyncpg.PostgresError:
    """The error the driver makes of a server's answer."""
    fields = {"S": "ERROR", "V": "ERROR", "C": sqlstate, "M": message}
    return asyncpg.PostgresError.new(fields if detail is None else {**fields, "D": detail})


def client_data_error(cause: Exception) -> asyncpg.DataError:
    """The driver's own error for an argument it cannot encode; it quotes the arguments."""
    error = asyncpg.DataError(f"invalid input for query argument $2: ['{SECRET}', ... ({cause})")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [
        ("40001", "serialization"),
        ("40003", "serialization"),
        ("40P01", "deadlock"),
        ("55P03", "lock_timeout"),
        ("23503", "foreign_key"),
        ("21000", "same_key"),
    ],
)
def test_passing_failures_are_transient(sqlstate: str, reason: str) -> None:
    meaning = classify(server_error(sqlstate))
    assert isinstance(meaning, BatchError)
    assert meaning.refusal == Transient(reason, sqlstate, "the server's words")
    assert meaning.positions == ()


@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [
        ("22000", "bad_data"),
        ("22001", "bad_data"),
        ("22003", "bad_data"),
        ("22021", "bad_data"),
        ("22P02", "bad_data"),
        ("22P05", "bad_data"),
        ("23000", "constraint"),
        ("23502", "constraint"),
        ("23505", "constraint"),
        ("23514", "constraint"),
        ("23P01", "constraint"),
        ("54000", "too_large"),
    ],
)
def test_data_that_cannot_be_stored_is_poison(sqlstate: str, reason: str) -> None:
    meaning = classify(server_error(sqlstate))
    assert isinstance(meaning, BatchError)
    assert meaning.refusal == Poison(reason, sqlstate, "the server's words")


@pytest.mark.parametrize("sqlstate", ["08000", "08003", "08006", "08007", "08P01", "57P01", "57P02", "57P05"])
def test_a_connection_the_server_gave_up_is_lost(sqlstate: str) -> None:
    meaning = classify(server_error(sqlstate))
    assert isinstance(meaning, ConnectionLost)
    assert sqlstate in str(meaning)


@pytest.mark.parametrize(
    ("sqlstate", "advice"),
    [
        ("08001", "the connection failed"),
        ("08004", "the connection failed"),
        ("25006", "read-only"),
        ("26000", "statement_cache_size to 0"),
        ("42P05", "statement_cache_size to 0"),
        ("28000", "POSTGRES_USERNAME and POSTGRES_PASSWORD"),
        ("28P01", "POSTGRES_USERNAME and POSTGRES_PASSWORD"),
        ("3D000", "POSTGRES_DATABASE"),
        ("42501", "grant POSTGRES_USERNAME"),
        ("42601", "as the worker declares"),
        ("42703", "as the worker declares"),
        ("42P01", "as the worker declares"),
        ("53100", "run out"),
        ("53200", "run out"),
        ("53300", "max_connections"),
        ("57014", "stopped the statement"),
        ("57P03", "starting or stopping"),
        ("58030", "system failed"),
        ("XX000", "failed inside"),
        ("XX001", "failed inside"),
    ],
)
def test_outages_say_how_to_mend_them(sqlstate: str, advice: str) -> None:
    meaning = classify(server_error(sqlstate))
    assert type(meaning) is SinkUnavailable
    assert advice in str(meaning)
    assert sqlstate in str(meaning)
    assert "the server's words" in str(meaning)


@pytest.mark.parametrize("sqlstate", ["0A000", "25P02", "2BP01", "44000", "54001", "54023", "55006", "P0001", "ZZ999"])
def test_what_is_not_known_waits_and_says_so(sqlstate: str) -> None:
    meaning = classify(server_error(sqlstate))
    assert type(meaning) is SinkUnavailable
    assert "does not know" in str(meaning)


@pytest.mark.parametrize(
    "cause",
    [
        ValueError("a wrong value"),
        OverflowError("value out of int64 range"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        AttributeError("'str' object has no attribute 'toordinal'"),
    ],
    ids=lambda cause: type(cause).__name__,
)
def test_an_argument_the_driver_cannot_encode_is_poison_without_its_neighbours(cause: Exception) -> None:
    meaning = classify(client_data_error(cause))
    assert isinstance(meaning, BatchError)
    assert meaning.refusal == Poison("bad_data", "22000", f"a value cannot be encoded for its column: {cause}")
    assert SECRET not in str(meaning)


@pytest.mark.parametrize("error", [ValueError("bad"), TypeError("bad"), OverflowError("bad")])
def test_bare_encoding_errors_are_poison(error: Exception) -> None:
    meaning = classify(error)
    assert isinstance(meaning, BatchError)
    assert isinstance(meaning.refusal, Poison)
    assert meaning.refusal.error_class == type(error).__name__


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        ConnectionResetError(104, "Connection reset by peer"),
        BrokenPipeError(32, "Broken pipe"),
        ConnectionAbortedError(103, "aborted"),
        OSError(errno.ETIMEDOUT, "Connection timed out"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
    ],
    ids=str,
)
def test_a_broken_connection_is_lost(error: Exception) -> None:
    assert isinstance(classify(error), ConnectionLost)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "POSTGRES_HOST and POSTGRES_PORT"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError(errno.EACCES, "Permission denied"), "Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "the certificate of POSTGRES_TLS_CA"),
        (TimeoutError(), "did not answer in time"),
        (asyncpg.InternalClientError("oh"), "does not know"),
        (asyncpg.UnsupportedClientFeatureError("no binary encoder"), "does not know"),
        (RuntimeError("oh"), "RuntimeError: oh"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_other_failures_are_outages(error: Exception, text: str) -> None:
    meaning = classify(error)
    assert type(meaning) is SinkUnavailable
    assert text in str(meaning)


def test_the_address_is_not_repeated() -> None:
    meaning = classify(asyncpg.ClientConfigurationError(f"invalid DSN: postgresql://u:{SECRET}@h"))
    assert type(meaning) is SinkUnavailable
    assert SECRET not in str(meaning)
    assert "POSTGRES_URL" in str(meaning)


def test_the_detail_of_a_constraint_quotes_the_row_and_is_left_out() -> None:
    meaning = classify(server_error("23502", "null value in column x", f"Failing row contains ({SECRET})."))
    assert str(meaning) == "null value in column x"


def test_the_detail_that_explains_bad_data_is_kept_on_one_line() -> None:
    meaning = classify(server_error("22P05", "unsupported Unicode\nescape", "\\u0000 cannot be converted to text."))
    assert str(meaning) == "unsupported Unicode escape: \\u0000 cannot be converted to text."


def test_a_certificate_that_is_not_accepted_is_an_outage_though_it_is_a_value_error_too() -> None:
    meaning = classify(ssl.SSLCertVerificationError(1, "self-signed certificate"))
    assert isinstance(meaning, SinkUnavailable)
    assert "self-signed certificate; check sslmode and sslrootcert in POSTGRES_URL" in str(meaning)
