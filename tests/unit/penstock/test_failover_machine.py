"""Failover as a state machine: servers fail, come back and are promoted at any time; nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.errors import SinkUnavailable
from support.endpoints import Server, Site, failover_settings

if TYPE_CHECKING:
    from collections.abc import Coroutine

#: An old primary that nobody has told of may be tried first, and the new one found only then.
TRIES = 3


class FailoverMachine(RuleBasedStateMachine):
    """What both modes have in common."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.one, self.two = Server("one"), Server("two")
        self.site = Site(failover_settings(mode), self.one, self.two)
        self.started = False
        #: The newest acknowledged version of each record.
        self.acknowledged: dict[str, int] = {}
        self.version = 0
        #: Looks in a row at which the first endpoint, not being active, was well.
        self.good = 0

    def teardown(self) -> None:
        self.do(self.site.failover.close())
        self.loop.close()

    def do(self, action: Coroutine[Any, Any, None]) -> None:
        """Do something; the good probes begin anew with every change of the active endpoint."""
        before = self.site.active
        self.loop.run_until_complete(action)
        if self.site.active != before:
            self.good = 0

    async def start(self) -> None:
        """Begin a process of the worker, in place of one that was killed, if any; it goes on if a server answers."""
        self.site.start()
        self.started, self.good = False, 0
        with suppress(SinkUnavailable):
            await self.site.failover.open()
            self.started = True

    def preferred_is_well(self) -> bool:
        return self.one.up

    @precondition(lambda self: self.started)
    @rule(name=st.sampled_from("abc"))
    def write(self, name: str) -> None:
        async def writing() -> None:
            with suppress(SinkUnavailable):
                await self.site.failover.write([self.site.record(name, version=self.version)])
                self.acknowledged[name] = self.version

        self.version += 1
        self.do(writing())

    @precondition(lambda self: self.started)
    @rule(times=st.integers(1, 4))
    def look(self, times: int) -> None:
        for _ in range(times):
            before = self.site.active
            beside = before == "two" and not self.site.failover.away
            self.good = self.good + 1 if beside and self.preferred_is_well() else 0
            enough = self.good >= self.site.settings.failover.return_after
            self.do(self.site.look())
            assert self.site.active == before or enough

    @precondition(lambda self: self.started)
    @rule(turns=st.integers(1, 90))
    def recover(self, turns: int) -> None:
        """For so many turns of the event loop at most: none of them may answer at all."""

        async def recovering() -> None:
            task = asyncio.create_task(self.site.failover.recover())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.do(recovering())

    @rule(up=st.booleans())
    def first_fails_or_comes_back(self, *, up: bool) -> None:
        self.one.up = up

    @rule(up=st.booleans())
    def second_fails_or_comes_back(self, *, up: bool) -> None:
        self.two.up = up


def lacking(server: Server, acknowledged: dict[str, int]) -> dict[str, int]:
    """What of it the server does not hold, in that version or a newer one."""
    return {
        name: version
        for name, version in acknowledged.items()
        if name not in server.rows or server.rows[name]["version"] < version
    }


class Independent(FailoverMachine):
    """Two databases of their own: what either took, the primary has in the end."""

    def __init__(self) -> None:
        super().__init__("independent")

    @initialize()
    def begin(self) -> None:
        self.do(self.start())

    @rule()
    def kill(self) -> None:
        self.do(self.start())

    @rule(locked=st.booleans())
    def another_process_reconciles(self, *, locked: bool) -> None:
        self.two.locked = locked

    @invariant()
    def what_the_primary_lacks_is_kept_for_it(self) -> None:
        kept: dict[str, int] = {}
        for message in self.two.taken:
            found = orjson.loads(message.body)
            kept[found["id"]] = found["version"]
        missing = lacking(self.one, self.acknowledged)
        assert {name: kept.get(name) for name in missing} == missing

    @rule()
    def all_is_well_at_last(self) -> None:
        async def settling() -> None:
            if not self.started:
                await self.start()
            await self.site.failover.recover()
            for _ in range(self.site.settings.failover.return_after + 1):
                await self.site.look()

        self.one.up = self.two.up = True
        self.two.locked = False
        self.do(settling())
        assert (self.site.active, self.two.taken, lacking(self.one, self.acknowledged)) == ("one", [], {})


class Replica(FailoverMachine):
    """A primary and its synchronous standby, either of which may be promoted while the other is away."""

    def __init__(self) -> None:
        super().__init__("replica")
        self.two.writable = False
        self.two.store = self.one.store
        #: Timelines of primaries of the past to which a process wrote that had been told of a newer one.
        self.wrongs: list[int] = []
        for server in (self.one, self.two):
            server.before_write = self.waits_for_standby(server)

    def waits_for_standby(self, server: Server) -> Any:
        """The commit of a primary of the past waits for its standby, which is not one any more."""

        async def before_write() -> None:
            if server is not self.primary:
                if self.told >= self.primary.timeline:
                    self.wrongs.append(server.timeline)
                raise SinkUnavailable("the commit waits for its standby")

        return before_write

    @property
    def told(self) -> int:
        """The highest timeline that this process was told of."""
        return max(self.one.told, self.two.told)

    @property
    def primary(self) -> Server:
        """The one that counts."""
        return max((self.one, self.two), key=lambda server: (server.writable, server.timeline))

    @property
    def other(self) -> Server:
        return self.two if self.primary is self.one else self.one

    def preferred_is_well(self) -> bool:
        return self.one.up and self.primary is self.one

    @initialize()
    def begin(self) -> None:
        self.do(self.start())

    @rule()
    def kill(self) -> None:
        self.one.told = self.two.told = 0
        self.do(self.start())

    @precondition(lambda self: not self.primary.up and not self.other.writable)
    @rule()
    def promote(self) -> None:
        """By whoever runs the databases. From now on they are two; the old one does not know."""
        old, new = self.primary, self.other
        new.up, new.writable, new.timeline = True, True, old.timeline + 1
        new.store = Server("copy").store
        new.store.states = dict(old.store.states)

    @precondition(lambda self: self.other.writable)
    @rule()
    def make_a_standby_of_the_old_one(self) -> None:
        old, new = self.other, self.primary
        old.up, old.writable, old.timeline, old.store = True, False, new.timeline, new.store

    @invariant()
    def the_one_that_counts_has_everything(self) -> None:
        assert lacking(self.primary, self.acknowledged) == {}

    @invariant()
    def no_primary_of_the_past_is_written(self) -> None:
        assert self.wrongs == []

    @rule()
    def the_primary_is_well_at_last(self) -> None:
        async def writing() -> None:
            if not self.started:
                await self.start()
            for _ in range(TRIES):
                await self.site.failover.recover()
                with suppress(SinkUnavailable):
                    await self.site.failover.write([self.site.record("z", version=self.version)])
                    self.acknowledged["z"] = self.version
                    return

        self.version += 1
        self.primary.up = True
        self.do(writing())
        assert (self.site.active, self.acknowledged.get("z")) == (self.primary.name, self.version)


for machine in (Independent, Replica):
    machine.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
TestIndependent = Independent.TestCase
TestReplica = Replica.TestCase
