"""What an error from a graph server or its driver means: the data is at fault, the turn failed, or it is an outage.

Sources: Neo4j's "status codes" and the driver's exception tree; which code means what is decided
in ARCHITECTURE.md, "Error classes"; ArcadeDB's ways are measured, see FACTS.md.
"""

from __future__ import annotations

from neo4j.exceptions import (
    ConnectionAcquisitionTimeoutError,
    DriverError,
    IncompleteCommit,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
)

from penstock.errors import BatchError, ConnectionLost, SinkUnavailable
from penstock.outcome import Poison, Transient

#: What a transaction may raise, and nothing wider: a bug in a sink must not pass for an outage.
DRIVER_ERRORS = (Neo4jError, DriverError, OSError)
#: What the driver raises, before it sends anything, for a parameter that Bolt cannot express: a
#: whole number over 64 bits, half a surrogate pair, a type of its own, a depth without an end.
ENCODING_ERRORS = (TypeError, ValueError, OverflowError, RecursionError)

#: Faults of the row.
POISON = {
    "Neo.ClientError.Schema.ConstraintValidationFailed": "constraint",
    "Neo.ClientError.Schema.TokenNameError": "bad_name",
    "Neo.ClientError.Schema.TokenLengthError": "bad_name",
    "Neo.ClientError.Statement.ArgumentError": "bad_data",
    "Neo.ClientError.Statement.ArithmeticError": "bad_data",
    "Neo.ClientError.Statement.TypeError": "bad_data",
}
#: What Neo4j says, under the code of an internal error, of a value that an index cannot hold (about 8 kB).
TOO_LARGE = "too large to index"
INTERNAL_ERROR = "Neo.DatabaseError.Statement.ExecutionFailed"

#: ArcadeDB is optimistic: so it answers the loser of a race for a new key, or for a deleted edge.
LOST_RACE = "Neo.ClientError.Schema.ConstraintValidationFailed"
#: What a statement had found was deleted by another writer in between; on ArcadeDB and on Neo4j.
GONE = "Neo.ClientError.Statement.EntityNotFound"

#: Deadlocks, lock time-outs and the like have this prefix …
TRANSIENT = "Neo.TransientError.Transaction."
#: … and so have these, which speak of the server.
OVERLOADED = frozenset(
    {
        "Neo.TransientError.Transaction.BookmarkTimeout",
        "Neo.TransientError.Transaction.MaximumTransactionLimitReached",
    }
)

#: Errors known to be outages, by the start of their code, and how to mend them; the first that fits.
UNAVAILABLE = {
    "Neo.ClientError.Security.Unauthorized": "check NEO4J_USERNAME and NEO4J_PASSWORD",
    "Neo.ClientError.Security.AuthenticationRateLimit": (
        "too many wrong logins: check NEO4J_USERNAME and NEO4J_PASSWORD, then wait"
    ),
    "Neo.ClientError.Security.Forbidden": "grant NEO4J_USERNAME the right it lacks",
    "Neo.ClientError.Security.": "check NEO4J_USERNAME and NEO4J_PASSWORD",
    "Neo.ClientError.Database.": "check NEO4J_DATABASE",
    "Neo.ClientError.Cluster.": "this server is not the leader: use neo4j:// in NEO4J_URL",
    "Neo.ClientError.General.": "this server takes no writes now",
    "Neo.ClientError.Transaction.": "the server or its operator ended the transaction",
    "Neo.ClientError.Statement.SyntaxError": "it does not know this Cypher: is it a supported version?",
    "Neo.ClientError.Statement.SemanticError": "it does not take this Cypher: check NEO4J_DATABASE",
    "Neo.ClientError.Schema.": "its indexes and constraints are not as the worker needs them: change them",
    "Neo.DatabaseError.Schema.": "its data or indexes do not allow the worker's constraints: mend them",
    "Neo.TransientError.": "it cannot serve now",
}
UNKNOWN = "unclassified, so Penstock waits"


def classify(
    error: BaseException, *, endpoint: str = "the graph", agent: str = "", begun: bool = False
) -> BatchError | SinkUnavailable:
    """The error to raise `from error`: BatchError with Poison or Transient, ConnectionLost or SinkUnavailable.

    `endpoint` is what people call the server, `agent` what it calls itself, and `begun` tells
    whether a transaction was open, so that what it wrote is not known once the connection is lost.
    A BatchError names no positions. Whatever is not known is SinkUnavailable, which pauses and
    never dead-letters. The text is one line without a password.
    """
    match error:
        case Neo4jError():
            return _of_code(error, endpoint, agent)
        case DriverError() | OSError() if begun:
            return _of_lost(error, endpoint)
        case DriverError() | OSError():
            return _of_unreachable(error, endpoint)
        case TypeError() | ValueError() | OverflowError() | RecursionError():
            return BatchError(Poison("bad_data", type(error).__name__, f"a value cannot be sent: {_line(error)}"))
        case _:
            return SinkUnavailable(f"{endpoint}: {UNKNOWN}: {type(error).__name__}: {_line(error)}")


def _of_lost(error: DriverError | OSError, endpoint: str) -> SinkUnavailable:
    """What became of an open transaction."""
    match error:
        case IncompleteCommit():
            return ConnectionLost(f"{endpoint}: the connection was lost during the commit: {_line(error)}")
        case TimeoutError() if error.errno is None:
            return ConnectionLost(f"{endpoint} did not answer within the time limit: the connection was cut")
        case ServiceUnavailable() | SessionExpired() | OSError():
            return ConnectionLost(f"{endpoint}: the connection was lost: {_line(error)}")
        case _:
            return SinkUnavailable(f"{endpoint}: {UNKNOWN}: {type(error).__name__}: {_line(error)}")


def _of_unreachable(error: DriverError | OSError, endpoint: str) -> SinkUnavailable:
    """Why no transaction began."""
    match error:
        case TimeoutError() | ConnectionAcquisitionTimeoutError():
            return SinkUnavailable(f"{endpoint} did not answer within the time limit: check NEO4J_HOST and its health")
        case ServiceUnavailable() | SessionExpired() | OSError():
            return SinkUnavailable(f"{endpoint} cannot be reached: {_line(error)}: check NEO4J_HOST")
        case _:
            return SinkUnavailable(f"{endpoint}: {UNKNOWN}: {type(error).__name__}: {_line(error)}")


def _of_code(error: Neo4jError, endpoint: str, agent: str) -> BatchError | SinkUnavailable:
    code = error.code or ""
    text = _one_line(error.message or str(error))
    if code == GONE or (code == LOST_RACE and is_arcadedb(agent)):
        return BatchError(Transient("lost_race", code, text))
    if code in POISON:
        return BatchError(Poison(POISON[code], code, text))
    if code == INTERNAL_ERROR and TOO_LARGE in text:
        return BatchError(Poison("too_large", code, text))
    if code.startswith(TRANSIENT) and code not in OVERLOADED:
        return BatchError(Transient(code.removeprefix(TRANSIENT), code, text))
    advice = next((advice for start, advice in UNAVAILABLE.items() if code.startswith(start)), UNKNOWN)
    return SinkUnavailable(f"{endpoint}: {text} ({code or 'no code'}): {advice}")


def is_arcadedb(agent: str) -> bool:
    """Whether a server that calls itself so is ArcadeDB; "Neo4j/5.26.0 compatible (ArcadeDB 26.10.2)" is."""
    return "ArcadeDB" in agent


def _line(error: BaseException) -> str:
    return _one_line(str(error)) or type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())
