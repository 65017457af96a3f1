"""Every class of error a graph can raise, case by case."""

from __future__ import annotations

import errno

import pytest
from neo4j.exceptions import (
    ConfigurationError,
    ConnectionAcquisitionTimeoutError,
    IncompleteCommit,
    Neo4jError,
    ResultConsumedError,
    ServiceUnavailable,
    SessionExpired,
)

from penstock.errors import BatchError, ConnectionLost, SinkUnavailable
from penstock.outcome import Poison, Transient
from penstock.stores.neo4j_errors import UNKNOWN, classify

ARCADEDB = "Neo4j/5.26.0 compatible (ArcadeDB 26.10.2)"
NEO4J = "Neo4j/5.26.30"


def answer(code: str, message: str = "the server's words") -> Neo4jError:
    """An error as the driver makes it of the server's answer."""
    return Neo4jError._hydrate_neo4j(code=code, message=message)  # noqa: SLF001 the driver offers no other way


def refusal(error: BaseException, agent: str = NEO4J) -> Poison | Transient:
    """Of an error that has to be a refusal."""
    verdict = classify(error, agent=agent)
    assert isinstance(verdict, BatchError)
    assert verdict.positions == ()
    return verdict.refusal


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("Neo.ClientError.Schema.ConstraintValidationFailed", "constraint"),
        ("Neo.ClientError.Schema.TokenNameError", "bad_name"),
        ("Neo.ClientError.Schema.TokenLengthError", "bad_name"),
        ("Neo.ClientError.Statement.TypeError", "bad_data"),
        ("Neo.ClientError.Statement.ArgumentError", "bad_data"),
        ("Neo.ClientError.Statement.ArithmeticError", "bad_data"),
    ],
)
def test_a_fault_of_the_row_is_poison(code: str, reason: str) -> None:
    assert refusal(answer(code)) == Poison(reason, code, "the server's words")


def test_a_value_too_large_for_an_index_is_poison_though_neo4j_calls_it_internal() -> None:
    code = "Neo.DatabaseError.Statement.ExecutionFailed"
    text = "Property value is too large to index, please see index documentation for limitations."
    assert refusal(answer(code, text)) == Poison("too_large", code, text)
    assert isinstance(classify(answer(code, "the disk is full")), SinkUnavailable)


@pytest.mark.parametrize(
    "code",
    [
        "Neo.TransientError.Transaction.DeadlockDetected",
        "Neo.TransientError.Transaction.LockAcquisitionTimeout",
        "Neo.TransientError.Transaction.ConstraintsChanged",
        "Neo.TransientError.Transaction.Outdated",
    ],
)
def test_a_lost_turn_is_transient(code: str) -> None:
    assert refusal(answer(code)) == Transient(code.rpartition(".")[2], code, "the server's words")


@pytest.mark.parametrize(
    "code", ["Neo.ClientError.Schema.ConstraintValidationFailed", "Neo.ClientError.Statement.EntityNotFound"]
)
def test_the_loser_of_a_race_on_arcadedb_is_transient(code: str) -> None:
    assert refusal(answer(code), ARCADEDB) == Transient("lost_race", code, "the server's words")


def test_what_another_writer_deleted_meanwhile_is_transient_on_neo4j_too() -> None:
    assert isinstance(refusal(answer("Neo.ClientError.Statement.EntityNotFound"), NEO4J), Transient)


@pytest.mark.parametrize(
    "error",
    [
        OverflowError("Integer 9223372036854775808 out of range"),
        ValueError("Values of type <class 'object'> are not supported"),
        TypeError("Map keys must be strings, not <class 'int'>"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        RecursionError("maximum recursion depth exceeded"),
    ],
)
def test_a_value_that_cannot_be_sent_is_poison(error: Exception) -> None:
    found = refusal(error)
    assert isinstance(found, Poison)
    assert (found.reason, found.error_class) == ("bad_data", type(error).__name__)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("Neo.ClientError.Security.Unauthorized", "check NEO4J_USERNAME and NEO4J_PASSWORD"),
        ("Neo.ClientError.Security.AuthenticationRateLimit", "NEO4J_PASSWORD, then wait"),
        ("Neo.ClientError.Security.CredentialsExpired", "check NEO4J_USERNAME and NEO4J_PASSWORD"),
        ("Neo.ClientError.Security.AuthorizationExpired", "check NEO4J_USERNAME and NEO4J_PASSWORD"),
        ("Neo.ClientError.Security.Forbidden", "grant NEO4J_USERNAME"),
        ("Neo.ClientError.Database.DatabaseNotFound", "check NEO4J_DATABASE"),
        ("Neo.ClientError.Cluster.NotALeader", "neo4j://"),
        ("Neo.ClientError.General.ForbiddenOnReadOnlyDatabase", "takes no writes"),
        ("Neo.ClientError.Statement.SyntaxError", "supported version"),
        ("Neo.ClientError.Statement.SemanticError", "check NEO4J_DATABASE"),
        ("Neo.ClientError.Transaction.TransactionTimedOut", "ended the transaction"),
        ("Neo.TransientError.Transaction.Terminated", "ended the transaction"),
        ("Neo.TransientError.Transaction.LockClientStopped", "ended the transaction"),
        ("Neo.TransientError.Transaction.MaximumTransactionLimitReached", "cannot serve now"),
        ("Neo.TransientError.Transaction.BookmarkTimeout", "cannot serve now"),
        ("Neo.TransientError.General.DatabaseUnavailable", "cannot serve now"),
        ("Neo.TransientError.General.MemoryPoolOutOfMemoryError", "cannot serve now"),
        ("Neo.ClientError.Schema.IndexAlreadyExists", "change them"),
        ("Neo.DatabaseError.Schema.ConstraintCreationFailed", "mend them"),
        ("Neo.DatabaseError.General.UnknownError", UNKNOWN),
        ("Neo.ClientError.Procedure.ProcedureNotFound", UNKNOWN),
        ("Neo.ClientError.Invented.Tomorrow", UNKNOWN),
    ],
)
def test_everything_else_a_server_says_is_an_outage_with_its_advice(code: str, advice: str) -> None:
    verdict = classify(answer(code, "line one\n  line two"), endpoint="graph:7687/neo4j", begun=True)
    assert type(verdict) is SinkUnavailable
    assert str(verdict).startswith("graph:7687/neo4j: line one line two (Neo.")
    assert advice in str(verdict)


@pytest.mark.parametrize("agent", [NEO4J, ""])
def test_a_constraint_is_no_race_where_the_server_is_not_arcadedb(agent: str) -> None:
    assert isinstance(refusal(answer("Neo.ClientError.Schema.ConstraintValidationFailed"), agent), Poison)


@pytest.mark.parametrize(
    "error",
    [
        ServiceUnavailable("defunct"),
        SessionExpired("gone"),
        ConnectionResetError("reset"),
        TimeoutError(),
        OSError(errno.ETIMEDOUT, "Connection timed out"),
    ],
    ids=str,
)
def test_a_connection_lost_in_a_transaction_leaves_what_was_written_unknown(error: Exception) -> None:
    assert type(classify(error, begun=True)) is ConnectionLost
    assert type(classify(error, begun=False)) is SinkUnavailable


def test_the_time_limit_is_told_from_a_connection_that_the_system_gave_up() -> None:
    assert "within the time limit" in str(classify(TimeoutError(), begun=True))
    assert "Connection timed out" in str(classify(OSError(errno.ETIMEDOUT, "Connection timed out"), begun=True))


def test_a_commit_without_an_answer_is_a_lost_connection() -> None:
    verdict = classify(IncompleteCommit("no answer"), begun=True)
    assert type(verdict) is ConnectionLost
    assert "commit" in str(verdict)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ServiceUnavailable("Couldn't connect to 127.0.0.1:1"), "check NEO4J_HOST"),
        (OSError("Name or service not known"), "check NEO4J_HOST"),
        (ConnectionAcquisitionTimeoutError("failed to obtain a connection"), "time limit"),
        (ConfigurationError("the driver's own words"), UNKNOWN),
    ],
)
def test_a_server_that_cannot_be_reached_is_an_outage(error: Exception, advice: str) -> None:
    verdict = classify(error)
    assert type(verdict) is SinkUnavailable
    assert advice in str(verdict)


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("error", [ResultConsumedError(None, "odd"), KeyError("odd")])
def test_what_nobody_has_classified_pauses_and_says_so(error: Exception, *, begun: bool) -> None:
    verdict = classify(error, begun=begun)
    assert type(verdict) is SinkUnavailable
    assert UNKNOWN in str(verdict)
    assert type(error).__name__ in str(verdict)
