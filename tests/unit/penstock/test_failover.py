"""Failover between servers in memory: where the writes go, when they return, and what is never written again."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from penstock.errors import BatchError, ConnectionLost, SettingsError, SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN, Poison
from support.endpoints import Server, Site, failover_settings

POISON = Poison("constraint", "23502", "null value")


def replica(*, regions: str = "", region: str = "") -> tuple[Site, Server, Server]:
    """A primary and its synchronous standby."""
    one, two = Server("one"), Server("two")
    two.writable = False
    return Site(failover_settings("replica", region=region), one, two, regions=regions), one, two


def promote(standby: Server) -> None:
    standby.timeline += 1
    standby.writable = True
    standby.synchronous = False


def independent() -> tuple[Site, Server, Server]:
    one, two = Server("one"), Server("two")
    return Site(failover_settings("independent"), one, two), one, two


async def held(site: Site, *names: str) -> str:
    """Write what no endpoint takes; the error's text."""
    with pytest.raises(SinkUnavailable) as caught:
        await site.failover.write(site.records(*names))
    return str(caught.value)


async def until_it_recovers(site: Site, asked: int) -> asyncio.Task[None]:
    """Begin to recover, and go on until it has slept so often."""
    recovering = asyncio.create_task(site.failover.recover())
    while len(site.clock.slept) < asked:  # noqa: ASYNC110 the clock tells nobody
        await asyncio.sleep(0)
    return recovering


# Going over.


async def test_the_batch_in_hand_goes_to_the_backup_without_any_wait() -> None:
    site, one, two = independent()
    await site.failover.open()
    one.up = False
    with capture_logs() as logs:
        assert await site.failover.write(site.records("a", "b")) == [WRITTEN, WRITTEN]
    assert (site.active, set(two.rows), site.clock.slept) == ("two", {"a", "b"}, [])
    [switched] = [line for line in logs if line["event"] == "failover"]
    assert (switched["from"], switched["to"], switched["error"]) == ("one", "two", "one is down")
    assert site.metric("endpoint_active", endpoint="one") == 0
    assert site.metric("endpoint_active", endpoint="two") == 1
    assert site.metric("failovers_total", endpoint="two") == 1
    assert site.metric("breaker_state", endpoint="one") == 2


async def test_it_is_tried_once_more_on_fresh_connections_first() -> None:
    site, one, two = independent()
    await site.failover.open()
    errors = [ConnectionLost("reset by peer")]

    async def lose() -> None:
        if errors:
            raise errors.pop()

    one.before_write = lose
    assert await site.failover.write(site.records("a")) == [WRITTEN]
    assert (site.active, one.opens, two.writes) == ("one", 2, 0)


async def test_a_record_that_the_backup_refuses_does_not_send_the_writes_back() -> None:
    site, one, two = independent()
    await site.failover.open()
    one.up = False
    two.refuses = lambda _: POISON
    with pytest.raises(BatchError):
        await site.failover.write(site.records("a"))
    assert site.active == "two"


async def test_the_backup_is_not_kept_waiting_by_the_farewell_of_the_primary() -> None:
    site, one, two = independent()
    await site.failover.open()
    leaving, may_leave = asyncio.Event(), asyncio.Event()

    async def lose() -> None:
        # It answers all else, so that there is a farewell to be said.
        raise SinkUnavailable("disk full")

    async def linger() -> None:
        if site.active == "two":
            leaving.set()
            await may_leave.wait()

    one.before_write, one.before_close = lose, linger
    assert await asyncio.wait_for(site.failover.write(site.records("a")), 5) == [WRITTEN]
    await leaving.wait()
    assert set(two.rows) == {"a"}
    may_leave.set()
    await site.failover.close()


async def test_with_all_away_each_is_probed_as_its_breaker_has_it_until_one_answers() -> None:
    site, one, two = independent()
    await site.failover.open()
    one.up = two.up = False
    assert await held(site, "a") == "one is down; two is down"
    before = one.opens, two.opens
    began = site.clock.time
    recovering = await until_it_recovers(site, 20)
    # The clock takes the middle of 30 and 60 s.
    turns = (site.clock.time - began) / 45
    assert 0 < one.opens - before[0] <= turns
    assert 0 < two.opens - before[1] <= turns
    two.up = True
    await recovering
    assert site.active == "two"
    assert await site.failover.write(site.records("a")) == [WRITTEN]
    assert set(two.rows) == {"a"}


async def test_at_the_start_the_first_that_answers_is_taken() -> None:
    site, one, two = independent()
    one.up = False
    await site.failover.open()
    assert site.active == "two"
    assert site.metric("breaker_state", endpoint="one") == 2
    two.up = False
    site.start()
    with pytest.raises(SinkUnavailable, match="one is down; two is down"):
        await site.failover.open()


# Coming back.


async def test_the_writes_return_after_enough_good_probes_in_a_row_and_without_a_write() -> None:
    site, one, _ = independent()
    await site.failover.open()
    one.up = False
    await site.failover.write(site.records("a"))
    await site.look(3)
    one.up = True
    await site.look(2)
    one.up = False
    await site.look()
    one.up = True
    await site.look(2)
    assert (site.active, site.metric("good_probes", endpoint="one")) == ("two", 2)
    with capture_logs() as logs:
        await site.look()
    assert site.active == "one"
    assert "failed_back" in [line["event"] for line in logs]
    assert site.metric("endpoint_active", endpoint="one") == 1


async def test_it_returns_between_two_writes_and_never_in_one() -> None:
    site, one, two = independent()
    await site.failover.open()
    one.up = False
    await site.failover.write(site.records("a"))
    one.up = True
    await site.look(2)
    writing, may_end = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        writing.set()
        await may_end.wait()

    two.before_write = slowly
    under_way = asyncio.create_task(site.failover.write(site.records("b")))
    await writing.wait()
    looking = asyncio.create_task(site.look())
    for _ in range(50):
        await asyncio.sleep(0)
    assert site.active == "two"
    may_end.set()
    assert await under_way == [WRITTEN]
    await looking
    assert (site.active, set(one.rows)) == ("one", {"a", "b"})


async def test_a_watch_beside_the_writes_does_the_looking() -> None:
    site, one, _ = independent()
    await site.failover.open()
    one.up = False
    await site.failover.write(site.records("a"))
    one.up = True
    watching = asyncio.create_task(site.failover.run())
    while site.active == "two":  # noqa: ASYNC110 the clock tells nobody
        await asyncio.sleep(0)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert {5.0} == {seconds for seconds in site.clock.slept if seconds != 30}


# Mode replica.


async def test_a_standby_is_written_only_once_it_is_promoted_and_the_batch_held_so_long() -> None:
    site, one, two = replica()
    await site.failover.open()
    one.up = False
    assert "two is a standby" in await held(site, "a")
    asked = two.opens
    recovering = await until_it_recovers(site, 12)
    assert two.writes == 0
    assert site.active == "one"
    # It answers, so it is asked every probe_every seconds; the dead one as its breaker has it.
    assert two.opens - asked > one.opens
    assert site.metric("outages_total", endpoint="two") == 0
    promote(two)
    await recovering
    assert await site.failover.write(site.records("a")) == [WRITTEN]
    assert (site.active, set(two.rows)) == ("two", {"a"})


async def test_the_old_primary_is_never_written_again_and_said_to_be_so_once() -> None:
    site, one, two = replica()
    await site.failover.open()
    one.up = False
    await held(site, "a")
    promote(two)
    await site.failover.recover()
    await site.failover.write(site.records("a"))
    one.up = True
    with capture_logs() as logs:
        await site.look(10)
    assert [line["endpoint"] for line in logs if line["event"] == "old_primary_ignored"] == ["one"]
    two.up = False
    assert "another was promoted since, to 2" in await held(site, "b")
    assert (one.writes, site.failover.health(0)[1]["role"]) == (0, "old_primary")


async def test_a_promotion_is_seen_while_the_old_primary_still_answers() -> None:
    site, one, two = replica()
    await site.failover.open()
    await site.failover.write(site.records("a"))
    promote(two)
    await site.look()
    assert await site.failover.write(site.records("b")) == [WRITTEN]
    assert (site.active, set(one.rows), set(two.rows)) == ("two", {"a"}, {"b"})


async def test_a_primary_that_became_a_standby_is_well_and_returns_when_promoted_again() -> None:
    site, one, two = replica()
    await site.failover.open()
    one.up = False
    await held(site, "a")
    promote(two)
    await site.failover.recover()
    await site.failover.write(site.records("a"))
    one.up, one.writable, one.timeline = True, False, 2
    await site.look(5)
    assert (site.active, site.metric("breaker_state", endpoint="one")) == ("two", 0)
    promote(one)
    two.writable = False
    assert await site.failover.write(site.records("b")) == [WRITTEN]
    assert (site.active, set(one.rows)) == ("one", {"b"})


async def test_a_process_that_starts_asks_all_and_finds_the_promoted_one() -> None:
    site, one, two = replica()
    promote(two)
    await site.failover.open()
    assert site.active == "two"
    await site.failover.write(site.records("a"))
    assert (one.writes, two.writes) == (0, 1)


async def test_commits_that_do_not_wait_for_the_standby_are_refused_at_the_start() -> None:
    site, one, two = replica()
    one.synchronous = False
    with pytest.raises(SettingsError, match=r"a commit at one does not wait for the standby two: .*synchronous_"):
        await site.failover.open()
    assert one.writes == 0
    # A promoted server has no standby; nor can one be missed that does not answer.
    two.up = False
    site.start()
    await site.failover.open()
    assert site.active == "one"


async def test_two_primaries_on_one_timeline_are_warned_of() -> None:
    site, _, two = replica()
    two.writable = True
    with capture_logs() as logs:
        await site.failover.open()
    assert "several_primaries" in [line["event"] for line in logs]


async def test_in_replica_the_own_region_comes_first() -> None:
    site, one, two = replica(regions="east west", region="west")
    one.writable, two.writable = False, True
    await site.failover.open()
    assert [target.name for target in site.failover.targets] == ["two", "one"]
    assert site.active == "two"


# What others see.


async def test_health_shows_all_the_active_one_first() -> None:
    site, one, _ = independent()
    await site.failover.open()
    one.up = False
    await site.failover.write(site.records("a"))
    active, other = site.failover.health(site.clock.now())
    assert (active["name"], active["role"], active["active"]) == ("two", "backup", True)
    assert (other["name"], other["role"], other["active"]) == ("one", "primary", False)
    assert (other["breaker"], other["outages"]["count"]) == ({"state": "open", "last_error": "one is down"}, 1)


async def test_what_the_backup_took_twice_is_there_once() -> None:
    site, one, two = independent()
    await site.failover.open()
    one.up = False
    batch = site.records("a")
    await site.failover.write(batch)
    assert await site.failover.write(batch) == [DUPLICATE]
    assert len(two.store.states) == 1


async def test_good_probes_of_before_an_outage_do_not_count() -> None:
    site, one, two = independent()
    await site.failover.open()
    one.up = False
    await site.failover.write(site.records("a"))
    one.up = True
    await site.look(2)
    two.up = False
    await site.failover.write(site.records("b"))
    one.up, two.up = False, True
    site.clock.time += 60
    await site.failover.write(site.records("c"))
    one.up = True
    await site.look()
    assert site.active == "two"
