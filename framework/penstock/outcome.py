"""What became of a record: a closed union. `settlement.settlement_for` says what follows from each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Written:
    """Committed by the sink."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The sink already holds its key, its content hash or a strictly newer version."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """A later full-state record of the same natural key in the batch stands for it."""


@dataclass(frozen=True, slots=True)
class Spilled:
    """On the disk of this machine, in the spill; the worker writes it once its sink is back."""


@dataclass(frozen=True, slots=True)
class Poison:
    """Cannot be decoded, validated or stored, now or ever.

    `reason` is a short stable word for metrics and grouping; `error_class` the name of the error
    (an exception class or a server's error code); `message` the full text.
    """

    reason: str
    error_class: str
    message: str


@dataclass(frozen=True, slots=True)
class Transient:
    """This record's turn failed for a passing reason. The fields are those of Poison.

    `delay` says how long it is to wait in a retry queue before its next turn, in milliseconds; None:
    it has no more turns. The writer says so; sinks leave it alone.
    """

    reason: str
    error_class: str
    message: str
    delay: int | None = None


Refusal = Poison | Transient
Outcome = Written | Duplicate | Superseded | Spilled | Poison | Transient

WRITTEN = Written()
DUPLICATE = Duplicate()
SUPERSEDED = Superseded()
SPILLED = Spilled()
