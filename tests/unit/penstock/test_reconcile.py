"""What a backup took comes to the primary: all of it, once, before new writes, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest
from structlog.testing import capture_logs

from penstock.errors import LinkError, SinkUnavailable
from penstock.outcome import WRITTEN, Poison, Transient
from penstock.settings import BatchSettings, FuseSettings
from support.endpoints import Server, Site, failover_settings, nothing

if TYPE_CHECKING:
    from penstock.worker import Mode

POISON = Poison("constraint", "23502", "null value")


def site_of(mode: Mode = "upsert") -> tuple[Site, Server, Server]:
    one, two = Server("one", mode), Server("two", mode)
    return Site(failover_settings("independent", return_after=1), one, two, mode=mode), one, two


async def on_the_backup(site: Site, one: Server, *names: str) -> None:
    """The primary is down, so the backup takes these, one by one; then it is up again."""
    await site.failover.open()
    one.up = False
    for name in names:
        await site.failover.write(site.records(name))
    one.up = True


async def test_the_primary_is_given_all_in_order_before_it_takes_anything_new() -> None:
    site, one, two = site_of("append")
    names = [f"r{number}" for number in range(100)]
    await on_the_backup(site, one, *names)
    with capture_logs() as logs:
        await site.look()
    assert site.active == "one"
    assert [event.row["id"] for event in one.store.events] == names
    assert two.taken == []
    assert site.metric("reconciled_records_total") == 100
    events = [line["event"] for line in logs]
    assert events.count("reconciling") == 1
    assert [line["records"] for line in logs if line["event"] == "reconciled"] == [100]
    assert events.index("reconciled") < events.index("failed_back")


async def test_what_it_lacks_is_brought_from_the_first_good_probe_on_and_the_writes_return_after_the_last() -> None:
    one, two = Server("one"), Server("two")
    site = Site(failover_settings("independent", return_after=3), one, two)
    await on_the_backup(site, one, "a", "b")
    await site.look()
    assert site.active == "two"
    assert set(one.rows) == {"a", "b"}
    await site.failover.write(site.records("c"))
    await site.look(2)
    assert site.active == "one"
    assert set(one.rows) == {"a", "b", "c"}
    assert two.taken == []


async def test_an_older_version_from_the_backup_does_not_undo_a_newer_one() -> None:
    site, one, _ = site_of()
    await on_the_backup(site, one, "a")
    other = Site(site.settings, one)
    await other.failover.open()
    await other.failover.write([other.record("a", version=2)])
    await site.look()
    assert one.rows["a"]["version"] == 2


async def test_what_is_new_while_it_reconciles_waits_and_then_goes_to_the_primary() -> None:
    site, one, two = site_of("append")
    await on_the_backup(site, one, "a", "b")
    entered, may_go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        entered.set()
        await may_go_on.wait()

    one.before_write = slowly
    looking = asyncio.create_task(site.look())
    await entered.wait()
    # The first page is brought over while the backup goes on taking.
    assert await site.failover.write(site.records("c")) == [WRITTEN]
    assert len(two.store.events) == 3
    may_go_on.set()
    await looking
    await site.failover.write(site.records("d"))
    assert [event.row["id"] for event in one.store.events] == ["a", "b", "c", "d"]


async def test_if_it_fails_the_writes_stay_and_nothing_is_forgotten() -> None:
    site, one, two = site_of()
    await on_the_backup(site, one, "a", "b")
    two.locked = True
    with capture_logs() as logs:
        await site.look(3)
    assert (site.active, len(two.taken), one.rows) == ("two", 2, {})
    assert [line["event"] for line in logs].count("reconciliation_failed") == 1
    two.locked = False
    await site.look()
    assert (site.active, two.taken, set(one.rows)) == ("one", [], {"a", "b"})


async def test_what_the_primary_refuses_for_good_is_a_dead_letter_and_holds_up_nobody() -> None:
    site, one, two = site_of()
    await on_the_backup(site, one, "a", "bad", "b")
    one.refuses = lambda record: POISON if record.natural_key == "bad" else None
    await site.look()
    assert (site.active, two.taken, set(one.rows)) == ("one", [], {"a", "b"})
    [(delivery, why, key)] = site.letters.letters
    assert (orjson.loads(delivery.body)["id"], why) == ("bad", POISON)
    assert key == site.record("bad", version=1).key


async def test_what_the_primary_cannot_take_yet_waits_in_a_retry_queue_and_holds_up_nobody() -> None:
    site, one, two = site_of()
    await on_the_backup(site, one, "a", "early", "b")
    one.refuses = lambda record: Transient("foreign_key", "23503", "no") if record.natural_key == "early" else None
    await site.look()
    assert (site.active, two.taken, set(one.rows), site.letters.letters) == ("one", [], {"a", "b"}, [])
    [(delivery, delay)] = site.retries.taken
    assert (orjson.loads(delivery.body)["id"], delay) == ("early", 1000)


async def test_without_a_dlq_it_is_not_forgotten() -> None:
    site, one, two = site_of()
    await on_the_backup(site, one, "bad")
    one.refuses = lambda _: POISON
    site.letters.away = LinkError("the broker is away")
    await site.look(2)
    assert (site.active, len(two.taken), site.letters.letters) == ("two", 1, [])
    site.letters.away = None
    await site.look()
    assert (site.active, two.taken, len(site.letters.letters)) == ("one", [], 1)


async def test_what_is_in_the_dlq_or_a_retry_queue_is_not_sent_again_with_a_page_that_failed_after_it() -> None:
    """Two of the messages are equal to the byte: each of them is a letter."""
    site, one, two = site_of()
    await on_the_backup(site, one, "early", "bad", "a", "bad", "worse")
    bad = two.taken[1]
    two.taken.insert(2, bad)
    refusals = {"bad": POISON, "worse": POISON, "early": Transient("foreign_key", "23503", "no")}
    one.refuses = lambda record: refusals.get(str(record.natural_key))
    site.letters.away_after = 2
    await site.look(3)
    assert (site.active, len(two.taken)) == ("two", 5)
    assert len(site.letters.letters) == 2
    site.letters.away_after = None
    await site.look()
    assert (site.active, two.taken, set(one.rows)) == ("one", [], {"a"})
    assert [orjson.loads(delivery.body)["id"] for delivery, _, _ in site.letters.letters] == ["bad", "bad", "worse"]
    assert len(site.retries.taken) == 1
    # The next that is equal to one of them is another one.
    await on_the_backup(site, one, "b")
    two.taken.append(bad)
    await site.look()
    assert (two.taken, len(site.letters.letters)) == ([], 4)


async def test_a_primary_that_refuses_everything_blows_the_fuse_and_dead_letters_nothing() -> None:
    site, one, two = site_of()
    site.settings = site.settings.model_copy(update={"fuse": FuseSettings(window=10, percent=20)})
    site.start()
    await on_the_backup(site, one, *"abcdefghij")
    one.refuses = lambda _: POISON
    await site.look()
    assert (site.active, len(two.taken), site.letters.letters) == ("two", 10, [])


async def test_a_process_that_starts_reconciles_first() -> None:
    site, one, two = site_of()
    await on_the_backup(site, one, "a", "b")
    site.start()
    await site.failover.open()
    assert (site.active, two.taken, set(one.rows)) == ("one", [], {"a", "b"})


async def test_a_start_that_cannot_reconcile_begins_at_the_backup_and_one_without_backup_at_the_primary() -> None:
    site, one, two = site_of()
    await on_the_backup(site, one, "a")
    two.locked = True
    site.start()
    await site.failover.open()
    assert (site.active, one.rows) == ("two", {})
    two.locked, two.up = False, False
    site.start()
    await site.failover.open()
    assert site.active == "one"
    await site.failover.write(site.records("b"))
    two.up = True
    await site.look()
    assert (set(one.rows), two.taken) == ({"a", "b"}, [])
    assert site.metric("breaker_state", endpoint="two") == 0


async def test_of_two_processes_either_brings_what_the_other_left() -> None:
    site, one, two = site_of("append")
    await on_the_backup(site, one, "a", "b")
    other = Site(site.settings, one, two, mode="append")
    await other.failover.open()
    assert len(one.keys) == 2
    # This one does not know of it yet, and its backup takes more.
    await site.failover.write(site.records("c"))
    await other.look()
    assert (len(one.keys), two.taken) == (3, [])
    await site.look()
    assert (site.active, len(one.keys)) == ("one", 3)


async def test_one_that_dies_with_a_page_in_hand_leaves_it_all_and_nothing_comes_twice() -> None:
    site, one, two = site_of("append")
    await on_the_backup(site, one, *"abc")

    async def die() -> None:
        two.up = False  # after the primary has committed, before the backup forgets

    one.before_write = die
    await site.look()
    assert (len(one.keys), len(two.taken)) == (3, 3)
    two.up, one.before_write = True, nothing
    site.start()
    await site.failover.open()
    assert (len(one.keys), two.taken) == (3, [])


async def test_pages_grow_and_shrink_with_the_size_of_the_bodies() -> None:
    site, one, two = site_of("append")
    site.settings = site.settings.model_copy(update={"batch": BatchSettings(count=500, byte_size=2_000)})
    site.start()
    await on_the_backup(site, one, *(f"r{number}" for number in range(300)))
    pages: list[int] = []
    before = [0]

    async def count() -> None:
        pages.append(len(one.store.events) - before[0])
        before[0] = len(one.store.events)

    one.before_write = count
    await site.look()
    assert len(one.keys) == 300
    assert max(pages) * len(b'{"id":"r100","version":1}') < 2_000
    assert two.taken == []


async def test_both_away_and_only_the_primary_back_goes_on_there() -> None:
    site, one, two = site_of()
    await on_the_backup(site, one, "a")
    one.up = two.up = False
    with pytest.raises(SinkUnavailable):
        await site.failover.write(site.records("b"))
    one.up = True
    await site.failover.recover()
    await site.failover.write(site.records("b"))
    assert (site.active, set(one.rows)) == ("one", {"b"})
    two.up = True
    await site.look()
    assert (set(one.rows), two.taken) == ({"a", "b"}, [])


async def test_a_message_that_can_no_longer_be_decoded_is_a_dead_letter_too() -> None:
    site, one, two = site_of()
    await on_the_backup(site, one, "a", "b")

    def broken(value: dict[str, str]) -> dict[str, str]:
        if value["id"] == "a":
            raise ValueError("no longer")
        return value

    object.__setattr__(site.worker, "mapping", broken)
    await site.look()
    assert ([why.reason for _, why, _ in site.letters.letters], set(one.rows)) == (["unmappable"], {"b"})
    assert two.taken == []


async def test_both_away_and_both_back_reconciles_before_the_primary_is_written() -> None:
    site, one, two = site_of()
    await on_the_backup(site, one, "a")
    one.up = two.up = False
    with pytest.raises(SinkUnavailable):
        await site.failover.write(site.records("b"))
    one.up = two.up = True
    await site.failover.recover()
    assert (site.active, set(one.rows), two.taken) == ("one", {"a"}, [])


async def test_who_stands_by_is_warmed_and_who_is_about_to_be_written_is_not_held_up_by_it() -> None:
    site, one, two = site_of()
    await site.failover.open()
    assert (one.warmed, two.warmed) == (0, 1)
    one.up = False
    await site.failover.write(site.records("a"))
    assert two.warmed == 1
    one.up = True
    await site.look()
    assert site.active == "one"
    assert one.warmed > 0
