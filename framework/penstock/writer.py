"""Write a batch to the sink: one outcome per record, or an outage.

A refused batch is halved until the bad record stands alone, so no record ever pays for its
neighbour. A passing failure is tried again in place. An outage is raised and settles nothing.
"""

from __future__ import annotations

from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING

import structlog

from penstock.batch import collapse
from penstock.errors import BatchError
from penstock.outcome import SUPERSEDED, Outcome, Poison, Refusal, Transient
from penstock.retry import backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from penstock.clock import Clock
    from penstock.failover import Failover
    from penstock.fuse import Fuse
    from penstock.ladder import Ladder
    from penstock.record import Record
    from penstock.settings import Settings
    from penstock.worker import Mode

log = structlog.get_logger(__name__)

#: The carrier of a group.
last = itemgetter(-1)

#: Turns in place after a Transient failure: of a whole batch before it is halved, and of a record that may be late.
IN_PLACE = 3


class Writer:
    """Writes batches to a sink, wherever its failover has them go."""

    def __init__(
        self,
        failover: Failover,
        mode: Mode,
        settings: Settings,
        *,
        fuse: Fuse,
        clock: Clock,
        ladder: Ladder | None = None,
        survived: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.settings = settings
        #: Of the worker's retry queues; without them every record is waited for in place.
        self.ladder = ladder
        #: Told before a wait in place that the sink has answered, so that what it was given ends no process.
        self._survived = survived
        self._failover = failover
        self._mode = mode
        self._fuse = fuse
        self._clock = clock
        self._refused = 0
        self._size = 0

    async def recover(self) -> None:
        """Wait until an endpoint has answered a probe: a write is worth trying."""
        await self._failover.recover()

    async def write(self, records: Sequence[Record], refused: Sequence[Poison] = ()) -> list[Outcome]:
        """Write the records of a batch, of which `refused` did not become records. One outcome per record, in order.

        Raises SinkUnavailable once the breaker is open, and FuseBlown; then nothing is to be settled.
        A superseded record is written itself when the one that stood for it is refused.
        """
        outcomes: list[Outcome] = [SUPERSEDED] * len(records)
        self._refused = len(refused)
        self._size = len(records) + len(refused)
        if refused:
            self._fuse.check(self._refused, self._size, refused[-1])
        groups = collapse(records) if self._mode == "upsert" else [[position] for position in range(len(records))]
        while groups:
            batch = list(map(records.__getitem__, map(last, groups)))
            try:
                results = await self._failover.write(batch)
            except BatchError as error:
                results = await self._divide(batch, error)
            for group, outcome in zip(groups, results, strict=True):
                outcomes[group.pop()] = outcome
                if not isinstance(outcome, Refusal):
                    group.clear()
            groups = sorted((group for group in groups if group), key=lambda group: group[-1])
        return outcomes

    async def _divide(self, records: Sequence[Record], error: BatchError) -> list[Outcome]:
        """The outcomes of records that were refused together: again in place if that may help, then in halves.

        Those that fail for a passing reason alone too are tried again all together, so that many of them
        take no longer than one. Those that may be late go on in a retry queue after their turns in place.
        """
        turns = 1
        while turns < IN_PLACE and len(records) > 1 and isinstance(error.refusal, Transient):
            await self._wait_a_turn(turns, len(records))
            turns += 1
            try:
                return list(await self._failover.write(records))
            except BatchError as again:
                error = again
        outcomes = await self._halve(records, error)
        for turn in range(1, self.settings.retry.max_attempts):
            waiting = [
                position
                for position, outcome in enumerate(outcomes)
                if isinstance(outcome, Transient)
                and (turns < IN_PLACE or self.ladder is None or not self.ladder.takes(records[position]))
            ]
            turns += 1
            if not waiting:
                break
            await self._wait_a_turn(turn, len(waiting))
            for position in waiting:
                outcomes[position] = await self._alone(records[position])
        for position, outcome in enumerate(outcomes):
            if isinstance(outcome, Transient) and self.ladder is not None:
                outcomes[position] = replace(outcome, delay=self.ladder.delay(records[position]))
        given_up = [outcome for outcome in outcomes if isinstance(outcome, Transient) and outcome.delay is None]
        if given_up:
            self._refused += len(given_up)
            self._fuse.check(self._refused, self._size, given_up[-1])
        return outcomes

    async def _halve(self, records: Sequence[Record], error: BatchError) -> list[Outcome]:
        if len(records) == 1:
            return [self._refuse(error.refusal)]
        outcomes: list[Outcome] = []
        for part, refusal in _parts(records, error):
            if refusal is not None:
                outcomes.append(self._refuse(refusal))
                continue
            try:
                outcomes += await self._failover.write(part)
            except BatchError as again:
                outcomes += await self._halve(part, again)
        return outcomes

    async def _alone(self, record: Record) -> Outcome:
        try:
            [outcome] = await self._failover.write([record])
        except BatchError as error:
            return self._refuse(error.refusal)
        return outcome

    async def _wait_a_turn(self, turn: int, records: int) -> None:
        log.warning("records_retried", records=records, turn=turn)
        if self._survived is not None:
            await self._survived()
        await self._clock.sleep(backoff(turn, self.settings.retry, self._clock))

    def _refuse(self, refusal: Refusal) -> Refusal:
        """Count a record that is refused for good; raises FuseBlown when that is one too many."""
        if isinstance(refusal, Poison):
            self._refused += 1
            self._fuse.check(self._refused, self._size, refusal)
        return refusal


def _parts(records: Sequence[Record], error: BatchError) -> list[tuple[Sequence[Record], Poison | None]]:
    """How to go on with a refused batch, in order: named poison settled at once and the runs between; else halves."""
    if isinstance(error.refusal, Poison) and error.positions:
        parts: list[tuple[Sequence[Record], Poison | None]] = []
        start = 0
        for position in sorted(set(error.positions)):
            if position > start:
                parts.append((records[start:position], None))
            parts.append((records[position : position + 1], error.refusal))
            start = position + 1
        return [*parts, (records[start:], None)] if start < len(records) else parts
    middle = len(records) // 2
    return [(records[:middle], None), (records[middle:], None)]
