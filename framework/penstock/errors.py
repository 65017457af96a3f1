"""Every exception Penstock raises on purpose.

PenstockError
├── UsageError             the caller or the settings are wrong; the message names what and how to mend it (exit code 2)
│   └── SettingsError
├── LetterRefused          an edited dead letter is not as its worker's model wants it, or its letter is gone
├── TopologyError          the broker's queues or exchanges are not as the worker needs them
│   └── TopologyMissing    one of them does not exist
├── LinkError              the broker cannot be reached or the channel is gone
│   └── PublishError       a message was refused, returned or not confirmed in time
│       ├── BrokerBlocked  the broker takes no messages for now: it is short of memory or disk
│       └── PublishRefused the broker answers, and does not take this message
│           └── ChannelRefused  it closed the channel over a message: this one, or a neighbour
├── StackError             a server of the embedded stack cannot be started, or ended while it was needed
├── JournalError           a journal is held by another process, damaged, or cannot be written (the disk is full)
│   ├── JournalFull        a journal has reached a bound: nothing more is taken until it is drained
│   ├── JournalHeld        another process holds it
│   └── JournalDamaged     its file is no database any more, or a corrupt one
├── FuseBlown              too many records are refused: the worker pauses
└── SinkError
    ├── BatchError         the sink refuses records of this batch, named or not
    └── SinkUnavailable    the endpoint cannot serve now: an outage, never a fault of the data
        ├── ConnectionLost the connection broke during a write: what was written is not known
        ├── NotEligible    the endpoint answers and must not be written: a standby, or a primary of the past
        └── SpillFirst     it serves, and gets the older records first, which wait in the spill
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.outcome import Refusal


class PenstockError(Exception):
    """Root of all errors raised on purpose; its text is fit for one line on a terminal."""


class UsageError(PenstockError):
    """The caller asked for something that cannot be done; the text says how to mend it."""


class SettingsError(UsageError):
    """A setting is unknown, missing or has a value that cannot be used."""


class LetterRefused(PenstockError):
    """An edited letter cannot take the place of the one that was read; that one is as it was."""


class TopologyError(PenstockError):
    """A queue or exchange is missing, or exists with other arguments than the worker needs."""


class TopologyMissing(TopologyError):
    """A queue or exchange does not exist."""


class LinkError(PenstockError):
    """The broker cannot be reached, refuses the login, or the channel is gone."""


class PublishError(LinkError):
    """A publish was returned as unroutable, refused by the broker, or not confirmed in time."""


class BrokerBlocked(PublishError):
    """The broker takes no messages for now: it is short of memory or disk. One that was under way may still arrive."""


class PublishRefused(PublishError):
    """The broker does not take this message: no queue is bound, a queue is full, or it cannot be put in AMQP's terms.

    No outage: the broker answers, and trying for ever would not help.
    """


class NotRouted(PublishRefused):
    """The broker returned the message: no queue is there, or none is bound, for its routing key."""


class ChannelRefused(PublishRefused):
    """The broker closed the channel over a message. What is named may be the fault of another that was under way."""


class StackError(PenstockError):
    """A server of the embedded stack cannot be prepared, started or stopped; the text says why and where its log is."""


class JournalError(PenstockError):
    """A journal cannot be opened, read or written; the text names the file and says how to mend it."""


class JournalFull(JournalError):
    """A journal has reached one of its bounds; what did not fit was not taken, and nothing in it was dropped."""


class JournalHeld(JournalError):
    """Another process holds the lease of a journal; the text says which."""


class JournalDamaged(JournalError):
    """A journal's file cannot be read as a database any more, in whole or in part."""


class FuseBlown(PenstockError):
    """More records are refused than the fuse allows; nothing of the batch was settled."""


class SinkError(PenstockError):
    """Root of what a sink may raise."""


class BatchError(SinkError):
    """The sink refuses records of a batch; nothing of the batch was written.

    `refusal` says why and whether for good (Poison) or for now (Transient). `positions` are the
    positions in the batch that are at fault; empty means the sink cannot tell, so all failed.
    """

    def __init__(self, refusal: Refusal, positions: Sequence[int] = ()) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.positions = tuple(positions)


class SinkUnavailable(SinkError):
    """The endpoint cannot serve now. An outage is not an outcome: nobody settles anything."""


class ConnectionLost(SinkUnavailable):
    """The connection broke during a write; the batch may or may not have been committed."""


class NotEligible(SinkUnavailable):
    """The endpoint answers and must not be written now: a standby, a primary of the past, one that is owed records."""


class SpillFirst(SinkUnavailable):
    """Newer records wait until those in the spill are written. No outage, and held like one."""
