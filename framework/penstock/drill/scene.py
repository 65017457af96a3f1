"""What a drill is given: servers on a clean ground, workers and a publisher as processes, waits, and the count."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from penstock.drill import returned
from penstock.drill.accounting import Sinks, look_into, query
from penstock.drill.installation import INHERITED, Installation
from penstock.drill.looks import Neo4jLook, PostgresLook, RabbitLook, sql
from penstock.drill.publishing import Publishing
from penstock.drill.servers.wait import wait_until
from penstock.drill.tallying import tally_of
from penstock.drill.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from penstock.drill.definition import Scale, Tally
    from penstock.drill.grounds import Grounds
    from penstock.drill.installation import Process
    from penstock.drill.servers import Server
    from penstock.drill.servers.choose import Kind
    from penstock.drill.watch import Look, Samples

#: One queue each, all bound to the same exchange.
WORKERS = ("drill-ledger", "drill-table", "drill-graph")
#: How often they look whether a server is back, in seconds; a drill of the defaults leaves these out.
EACH_SECOND = {"PENSTOCK_BREAKER__PROBE_MIN": "1", "PENSTOCK_BREAKER__PROBE_MAX": "1", "PENSTOCK_RETRY__MAX": "1"}
#: kill -9 of the broker this soon after a quorum queue was declared can lose the queue itself, in seconds.
YOUNG = 3.5
#: Seconds without a new row after which what is not there is lost: a watchdog needs two of its looks, of 30 s each.
PATIENCE = 150
#: The sinks by what tells that they are back: a graph that has just started answers reads seconds before it writes.
BACK = {"postgres": "postgres", "neo4j": "neo4j_writes"}


class Scene:
    """One drill's own: a virtual host, a database, a graph; used in a `with`, at whose end all its processes end.

    `say` prints a line for people. All calls wait until the thing is done.
    """

    def __init__(self, grounds: Grounds, scale: Scale, say: Callable[[str], None]) -> None:
        self.grounds = grounds
        self.scale = scale
        self.say = say
        #: What the workers and the publisher are told beside the addresses; a drill may change it before it starts any.
        self.environment = dict(EACH_SECOND)
        #: Which broker it is; a drill may choose another before it asks for anything.
        self.broker: Kind = "rabbitmq"
        #: The sinks that take part, as BACK calls them; a drill may leave the graph out before it asks for anything.
        self.sinks: tuple[str, ...] = tuple(BACK)
        #: In which PostgreSQL everything is to be in the end; a drill may choose another before it starts workers.
        self.counted_on: Server | None = None
        self._closing = ExitStack()
        self._workers: list[Process] = []
        self._declared = 0.0

    def __enter__(self) -> Self:
        self.grounds.restore()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The workers whose sinks take part; each has a queue of that name."""
        return WORKERS if self._has_graph else WORKERS[:-1]

    @property
    def _has_graph(self) -> bool:
        return "neo4j" in self.sinks

    @property
    def messages(self) -> int:
        """How many messages the drill is to publish."""
        return self.scale.messages

    def seconds(self, full: float) -> float:
        """How long a fault lasts here that takes so many seconds in full."""
        return self.scale.seconds(full)

    # Servers. Each is started when it is first asked for.

    def server(self, kind: Kind, name: str = "primary") -> Server:
        """A server to be stopped, killed or frozen; what was frozen must be thawed by the drill itself."""
        return self.grounds.server(kind, name)

    @cached_property
    def broker_url(self) -> str:
        """A virtual host of the drill's own."""
        return self.grounds.virtual_host(self.broker)

    @cached_property
    def postgres_url(self) -> str:
        """A database of the drill's own, with the table of drill-ledger in it."""
        return self.database()

    @cached_property
    def neo4j_url(self) -> str:
        """An empty graph."""
        return self.grounds.graph()

    @cached_property
    def folder(self) -> Path:
        """A folder of the drill's own."""
        return Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="penstock-drill-")))

    def database(self, name: str = "primary") -> str:
        """Another database of the drill's own, on the PostgreSQL of that name."""
        url = self.grounds.database(name)
        asyncio.run(sql(url, query("create_ledger.sql")))
        return url

    # Processes.

    def installation(self) -> Installation:
        """The commands of this Penstock, pointed at the drill's servers."""
        urls = {"RABBITMQ_URL": self.broker_url, "POSTGRES_URL": self.postgres_url}
        if self._has_graph:
            urls["NEO4J_URL"] = self.neo4j_url
        return Installation({**urls, **self.environment})

    def worker(self, name: str, **settings: str | float) -> Process:
        """Start a worker (one of WORKERS) and wait until it is ready; `settings` as in Installation.with_settings."""
        return self.workers(name, **settings)[0]

    def workers(self, *names: str, **settings: str | float) -> list[Process]:
        """Start several at the same time, as `worker` does."""
        installation = self.installation().with_settings(**settings)
        started = [self._closing.enter_context(installation.start("run", name)) for name in names]
        self._workers += started
        for process in started:
            process.wait_ready()
        self._declared = time.monotonic()
        return started

    def wait_grown(self) -> None:
        """Wait until the quorum queues are old enough for the broker to be killed."""
        time.sleep(max(0.0, self._declared + YOUNG - time.monotonic()))

    @cached_property
    def publishing(self) -> Publishing:
        """The publisher, not started; it has an outbox on this machine's disk."""
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment = {**inherited, **self.installation().environment}
        publishing = Publishing(environment, self.folder)
        self._closing.callback(publishing.kill)
        return publishing

    @cached_property
    def watch(self) -> Watch:
        """What the servers hold over time; begins when asked for.

        `watch.samples["postgres"]` counts rows of the ledger, "neo4j" messages in the graph; "neo4j_writes" and
        "rabbitmq" only answer, the one to a write and the other to a client's greeting.
        """
        looks: dict[str, Look] = {
            "postgres": PostgresLook(self._counted_url, query("count_rows.sql")),
            "rabbitmq": RabbitLook(self.broker_url),
        }
        if self._has_graph:
            looks["neo4j"] = Neo4jLook(self.neo4j_url, query("count_messages.cypher"))
            looks["neo4j_writes"] = Neo4jLook(self.neo4j_url, query("write.cypher"))
        return self._closing.enter_context(Watch(looks))

    # Waits.

    def wait_written(self, count: int) -> None:
        """Wait until each sink has so many messages."""
        samples = [self.watch.samples[name] for name in self.sinks]
        wait_until(lambda: all(one.last >= count for one in samples), 120, f"{count} messages in each sink")

    def wait_more_written(self) -> None:
        """Wait until each sink has more messages than now, or has all that are safe."""
        before = {name: self.watch.samples[name].last for name in self.sinks}
        wanted = len(self.publishing.safe())
        more = lambda name: self.watch.samples[name].last > min(before[name], wanted - 1)  # noqa: E731
        wait_until(lambda: all(map(more, self.sinks)), 120, "more messages in each sink")

    def settle(self, *, ordered: bool = True) -> None:
        """Wait as `wait_drained` does; then stop the workers, all of which must end well, or have been killed."""
        self.wait_drained(ordered=ordered)
        for process in self._workers:
            if process.running:
                process.signal(signal.SIGTERM)
        for process in self._workers:
            code = process.wait()
            assert code in {0, -signal.SIGKILL}, f"a worker ended with {code}: {process.output()[-500:]}"

    def wait_drained(self, *, ordered: bool = True) -> None:
        """Wait until all that is safe is in the sinks and the queues are empty, or no more comes.

        Without order the graph may never have seen a version that was overtaken: it is not waited for.
        """
        wanted = len(self.publishing.safe())
        waiting = [self.watch.samples[name] for name in (self.sinks if ordered else ("postgres",))]
        _wait_while_growing(waiting, wanted, lambda: not returned.ready(self.broker_url, self.names))

    # The count.

    def tally(
        self,
        *,
        since: float | None = None,
        sinks: Sequence[str] | None = None,
        server: Kind | None = None,
        ordered: bool = True,
    ) -> Tally:
        """Count what is there, after `settle`.

        `since` is when a server was about to answer again, in seconds of the monotonic clock: then the recovery of
        these sinks (all, if none is named) is told, each by its own answer or all by that of `server`. Without
        `ordered` versions may have overtaken one another on their way (two replicas): only the newest has to stand.
        """
        safe = self.publishing.safe()
        found = look_into(
            Sinks(self._counted_url, self._counted_url, self.neo4j_url if self._has_graph else None), safe
        )
        tally = tally_of(found, safe, ordered=ordered)
        virtual_host = urlsplit(self.broker_url).path[1:]
        tally.dead_lettered = returned.ready(self.broker_url, [f"{name}.dlq" for name in self.names])
        if left := returned.ready(self.broker_url, self.names):
            tally.failures.append(f"{left} messages are still in the queues")
        tally.attempts_burned = returned.redelivered(self.server(self.broker).address, virtual_host, self.names)
        if since is not None:
            self._tell_recovery(tally, since, {sink: server or BACK[sink] for sink in sinks or self.sinks}, len(safe))
        return tally

    @property
    def _counted_url(self) -> str:
        """The database that is counted, as the superuser: the worker's own login may be what the drill breaks."""
        server = self.counted_on or self.server("postgres")
        return server.address.within(urlsplit(self.postgres_url).path[1:])

    def _tell_recovery(self, tally: Tally, since: float, back: Mapping[str, str], count: int) -> None:
        recovered: dict[str, float | None] = {}
        caught_up: dict[str, float | None] = {}
        for sink, teller in back.items():
            samples = self.watch.samples[sink]
            answered = self.watch.samples[teller].answered(since)
            recovered[sink] = _between(answered, samples.rose(since))
            caught_up[sink] = _between(answered, samples.reached(count))
        tally.recovery_s = _slowest(recovered)
        tally.more |= {"caught_up_s": _slowest(caught_up), "recovery_of": recovered}


def _between(start: float | None, end: float | None) -> float | None:
    """Seconds from start to end, where both are known; an end that came before counts as at once."""
    return None if start is None or end is None else round(max(0.0, end - start), 2)


def _slowest(seconds: Mapping[str, float | None]) -> float | None:
    known = [value for value in seconds.values() if value is not None]
    return max(known) if len(known) == len(seconds) else None


def _wait_while_growing(waiting: Sequence[Samples], wanted: int, empty: Callable[[], bool]) -> None:
    """Return once there are so many everywhere and the queues are empty, or nothing has come for a long time."""
    seen, at = 0, time.monotonic()
    while time.monotonic() - at < PATIENCE:
        if all(one.last >= wanted for one in waiting) and empty():
            return
        time.sleep(0.1)
        if (now := sum(one.last for one in waiting)) != seen:
            seen, at = now, time.monotonic()
