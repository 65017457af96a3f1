"""The ledger pruned: which endpoints, how old a key must be, in which steps, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from penstock.errors import NotEligible, SinkUnavailable
from penstock.ledger import LedgerTally, as_json, keeps_ledger, look, prune
from penstock.message import make
from penstock.settings import Settings
from penstock.sink import Endpoint, LedgerPart, Prunable
from penstock.worker import Mode, Worker
from support.clock import ManualClock
from support.endpoints import ServedSink, Server, failover_settings

if TYPE_CHECKING:
    from penstock.message import Message

#: By default a key is kept for so long.
AGE = timedelta(days=30)
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
YOUNG, OLD = NOW - AGE, NOW - AGE - timedelta(seconds=1)


class Clock(ManualClock):
    """At NOW; a part takes two seconds."""

    def now(self) -> float:
        return NOW.timestamp()


@dataclass
class Ledgers:
    """Servers with a ledger each: in a part, when each of its keys was entered."""

    servers: dict[str, Server]
    held: dict[str, list[list[datetime]]]
    clock: Clock = field(default_factory=Clock)
    #: Where a part was pruned, in order.
    pruned: list[tuple[str, int]] = field(default_factory=list)
    fails_at: int | None = None

    def worker(self, mode: Mode = "append", kind: Any = None) -> Worker:
        return Worker(
            name="orders",
            model=dict[str, Any],
            natural_key=id,
            mapping=dict,
            sink=lambda *_: (kind or LedgerSink)(self) if kind is not ServedSink else ServedSink(self.servers),
            endpoints=lambda _: [Endpoint(name, name) for name in self.servers],
            mode=mode,
        )

    async def prune(self, settings: Settings | None = None, *, dry_run: bool = False) -> list[LedgerTally]:
        return await prune(self.worker(), settings or Settings(), dry_run=dry_run, clock=self.clock)


class LedgerSink(ServedSink):
    """A sink whose server has a ledger."""

    def __init__(self, ledgers: Ledgers) -> None:
        super().__init__(ledgers.servers)
        self._ledgers = ledgers

    async def ledger_parts(self) -> range:
        return range(len(self._ledgers.held[self.server.name]))

    async def ledger_part(self, part: int, before: datetime | None = None) -> LedgerPart:
        times = [time for time in self._ledgers.held[self.server.name][part] if before is None or time < before]
        return LedgerPart(len(times), min(times, default=None), max(times, default=None))

    async def prune(self, part: int, before: datetime) -> int:
        name = self.server.name
        if part == self._ledgers.fails_at:
            self.server.up = False
            self.server.answer()
        times = self._ledgers.held[name][part]
        self._ledgers.held[name][part] = [time for time in times if time >= before]
        self._ledgers.pruned.append((name, part))
        self._ledgers.clock.time += 2
        return len(times) - len(self._ledgers.held[name][part])


def ledgers(**held: list[list[datetime]]) -> Ledgers:
    return Ledgers({name: Server(name, "append") for name in held}, held)


def message() -> Message:
    return make("m", "shop", "order", b"{}", headers={}, content_type="application/json", now=0)


async def test_keys_older_than_the_age_go_and_all_others_stay() -> None:
    made = ledgers(one=[[OLD, YOUNG], [], [NOW], [OLD, OLD]])
    assert isinstance(LedgerSink(made), Prunable)
    [tally] = await made.prune()
    assert made.held == {"one": [[YOUNG], [], [NOW], []]}
    assert (tally.keys, tally.removed, tally.oldest, tally.newest, tally.before) == (5, 3, OLD, NOW, YOUNG)
    # A part without an old key is left alone; after each the standbys get as long as it took.
    assert made.pruned == [("one", 0), ("one", 3)]
    assert made.clock.slept == [2, 2]
    assert (await made.prune())[0].removed == 0


async def test_a_dry_run_and_a_look_remove_nothing() -> None:
    made = ledgers(one=[[OLD, NOW], [OLD]])
    [tally] = await made.prune(dry_run=True)
    assert (tally.keys, tally.removed) == (3, 2)
    assert await look(made.worker(), Settings()) == [LedgerTally(endpoint="one", keys=3, oldest=OLD, newest=NOW)]
    assert made.held == {"one": [[OLD, NOW], [OLD]]}
    assert made.pruned == []


async def test_a_worker_that_stands_still_forgets_nothing() -> None:
    made = ledgers(one=[[OLD - timedelta(days=10), OLD]])
    assert (await made.prune())[0].removed == 0
    made.held["one"].append([OLD - AGE + timedelta(days=1), NOW])
    assert (await made.prune())[0].removed == 3


async def test_a_key_from_a_clock_that_was_ahead_makes_no_other_old() -> None:
    made = ledgers(one=[[OLD, YOUNG, NOW, NOW + timedelta(days=365)]])
    assert (await made.prune())[0].removed == 1
    assert made.held["one"] == [[YOUNG, NOW, NOW + timedelta(days=365)]]


async def test_an_empty_ledger_and_none_at_all() -> None:
    made = ledgers(one=[])
    with capture_logs() as logged:
        assert await made.prune() == [LedgerTally(endpoint="one")]
    assert logged == []
    for worker in (made.worker("upsert"), made.worker(kind=ServedSink)):
        assert not keeps_ledger(worker, Settings())
        assert await look(worker, Settings()) == []
        assert await prune(worker, Settings()) == []
    assert made.servers["one"].opens == 1


async def test_of_a_replicated_database_only_the_primary_is_pruned() -> None:
    made = ledgers(one=[[OLD, NOW]], two=[[OLD, NOW]], three=[[OLD, NOW]])
    made.servers["one"].up = False
    made.servers["two"].writable = False
    [tally] = await made.prune(failover_settings("replica"))
    assert (tally.endpoint, made.pruned) == ("three", [("three", 0)])
    # A primary of the past, though it comes first and answers.
    made.servers["one"].up = True
    made.servers["three"].timeline = 2
    [tally] = await look(made.worker(), failover_settings("replica"))
    assert tally.endpoint == "three"


async def test_where_no_primary_answers_nothing_is_pruned_and_each_says_why() -> None:
    made = ledgers(one=[[OLD, NOW]], two=[[OLD, NOW]])
    made.servers["one"].up = False
    made.servers["two"].writable = False
    with pytest.raises(SinkUnavailable, match=r"one is down; two is a standby"):
        await made.prune(failover_settings("replica"))
    made.servers["one"].up, made.servers["one"].writable = True, False
    with pytest.raises((SinkUnavailable, NotEligible), match=r"one is a standby.*; two is a standby"):
        await made.prune(failover_settings("replica"))
    assert made.pruned == []


async def test_two_databases_of_their_own_are_both_pruned_or_neither() -> None:
    made = ledgers(one=[[OLD, NOW]], two=[[OLD, NOW, NOW]])
    for server in made.servers.values():
        server.up = False
        with pytest.raises(SinkUnavailable, match=f"{server.name} is down"):
            await made.prune(failover_settings("independent"))
        server.up = True
    assert made.pruned == []
    tallies = await made.prune(failover_settings("independent"))
    assert [(tally.endpoint, tally.keys, tally.removed) for tally in tallies] == [("one", 2, 1), ("two", 3, 1)]


async def test_while_a_backup_holds_records_nothing_is_pruned_and_they_stay() -> None:
    made = ledgers(one=[[OLD, NOW]], two=[[OLD, NOW]])
    made.servers["two"].taken = [message(), message()]
    with pytest.raises(SinkUnavailable, match=r"two holds records of orders that the primary was not given"):
        await made.prune(failover_settings("independent"))
    assert made.pruned == []
    assert len(made.servers["two"].taken) == 2
    made.servers["two"].locked = True
    with pytest.raises(SinkUnavailable, match="another process reconciles"):
        await made.prune(failover_settings("independent"))
    made.servers["two"].locked = False
    made.servers["two"].taken = []
    assert len(await made.prune(failover_settings("independent"))) == 2
    # What a primary may hold of that sort is nobody's.
    made.servers["one"].taken = [message()]
    assert len(await made.prune(failover_settings("independent"))) == 2


async def test_who_pruned_is_logged_however_it_ends() -> None:
    made = ledgers(one=[[OLD], [OLD, NOW], [OLD]])
    made.fails_at = 1
    with capture_logs() as logged, pytest.raises(SinkUnavailable, match="one is down"):
        await made.prune()
    made.servers["one"].up, made.fails_at = True, None
    with capture_logs() as more:
        await made.prune()
    first, second = logged + more
    for line in (first, second):
        assert (line["event"], line["log_level"]) == ("ledger_pruned", "warning")
        assert (line["worker"], line["endpoint"], line["age_seconds"]) == ("orders", "one", AGE.total_seconds())
        assert line["by"]
        assert line["host"]
    assert (first["stage"], first["keys"], first["removed"]) == ("failed", 4, 1)
    assert (second["stage"], second["keys"], second["removed"]) == ("ended", 3, 2)


def test_a_tally_as_json() -> None:
    tally = LedgerTally(endpoint="one", keys=2, oldest=OLD, newest=NOW, before=YOUNG, removed=1)
    assert as_json(tally) == {
        "endpoint": "one",
        "keys": 2,
        "removed": 1,
        "oldest": "2026-10-23T11:59:59.000+00:00",
        "newest": "2026-11-22T12:00:00.000+00:00",
        "before": "2026-10-23T12:00:00.000+00:00",
    }
    assert as_json(LedgerTally(endpoint="one"))["oldest"] is None
