"""The graph sink: a batch is one transaction, and each kind of record in it at most two statements."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.errors import BatchError, SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN, Duplicate, Poison, Written
from penstock.stores.neo4j import Pool
from penstock.taken import to_enter
from penstock_workers.graph import taken
from penstock_workers.graph.check import fault
from penstock_workers.graph.pattern import HASH, VERSION
from penstock_workers.graph.statements import compose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from penstock.message import Message
    from penstock.pools import PoolState, ServerState
    from penstock.record import Batch, Record
    from penstock.settings import Neo4j, Settings
    from penstock.sink import Endpoint
    from penstock.stores.neo4j import Transaction
    from penstock.worker import Worker
    from penstock_workers.graph.pattern import Node, Pattern
    from penstock_workers.graph.row import NodeRow

#: An index over what is already there may take this long to build, in seconds.
PREPARE_LIMIT = 600.0
#: As many workers may prepare one graph at once.
RIVALS = 32


def graph_sink(pattern: Pattern) -> Callable[[Worker, Settings], GraphSink]:
    """For a worker's declaration: makes the sink that writes this pattern."""

    def make(worker: Worker, settings: Settings) -> GraphSink:
        return GraphSink(pattern, settings.neo4j, worker.name, time_limit=settings.retry.write_timeout)

    return make


class GraphSink:
    """Writes NodeRows as a pattern says.

    A node holds its key, the record's properties, `hash` and `version`. An edge goes when the
    record that claims it no longer has it; the node at its other end stays. `counters` adds up what
    the server says the committed batches changed: after a repeated batch it is as before.

    At an endpoint with `records_taken` each Written record is also entered beside the data: the sink is Reconcilable.
    It is not Replicated: in a cluster of Neo4j, the driver finds the server that takes writes by a neo4j:// address,
    and a graph of one server has no standby to promote.
    """

    def __init__(self, pattern: Pattern, settings: Neo4j, application_name: str, *, time_limit: float) -> None:
        """`time_limit` holds for each batch, in seconds."""
        self.counters: Counter[str] = Counter()
        self._nodes = {node.kind: node for node in pattern.nodes}
        self._statements = compose(pattern)
        self._settings = settings
        self._application_name = application_name
        self._time_limit = time_limit
        self._pool: Pool | None = None
        self._records_taken = False

    async def open(self, endpoint: Endpoint) -> None:
        """Connect and have the database answer. Raises SinkUnavailable."""
        await self.close()
        pool = Pool(endpoint, self._settings, self._application_name, time_limit=self._time_limit)
        try:
            await pool.ping()
        except BaseException:
            await pool.close()
            raise
        self._pool = pool
        self._records_taken = endpoint.records_taken

    async def prepare(self) -> None:
        """Give every label the unique constraint on its key, and wait for its index. Raises SinkUnavailable."""
        own = taken.constraints() if self._records_taken else ()
        for constraint in (*self._statements.constraints, *own):
            await self._create(constraint)
        # ArcadeDB has no procedure to wait with: its indexes are built by then.
        if not self._opened.is_arcadedb:
            async with self._opened.transaction(PREPARE_LIMIT) as transaction:
                await transaction.run(self._statements.online, {"seconds": int(PREPARE_LIMIT)})

    async def write(self, batch: Batch) -> Sequence[Written | Duplicate]:
        """Write all records in one transaction; each `row` is a NodeRow.

        Raises BatchError, naming the position where the row itself shows the fault, and SinkUnavailable.
        """
        for position, record in enumerate(batch.records):
            if (message := fault(record.row, self._nodes)) is not None:
                raise BatchError(Poison("bad_row", "NodeRow", message), [position])
        outcomes: list[Written | Duplicate] = [DUPLICATE] * len(batch)
        async with self._opened.transaction() as transaction:
            for turn in _turns(batch):
                # Kinds in one order and rows by id, so that all writers take their locks in one order.
                for kind in self._nodes:
                    if kind in turn:
                        await self._write_kind(transaction, kind, turn[kind], outcomes)
            if self._records_taken:
                written = {position for position, outcome in enumerate(outcomes) if outcome == WRITTEN}
                await taken.enter(transaction, self._application_name, to_enter(batch.records, written))
        self.counters.update(transaction.counters)
        return outcomes

    async def ping(self) -> None:
        """Have the database answer. Raises SinkUnavailable."""
        await self._opened.ping()

    async def warm(self) -> None:
        """Run what `write` sends, for no rows: a Neo4j that has just started takes seconds to plan it."""
        statements = self._statements
        try:
            async with self._opened.transaction() as transaction:
                for kind in self._nodes:
                    for statement in (statements.gate[kind], statements.write[kind], statements.rewrite[kind]):
                        await transaction.run(statement, {"rows": []})
        except BatchError as error:
            raise SinkUnavailable(f"it takes no writes: {error}") from error

    async def close(self) -> None:
        """Give back every connection; never raises."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    def taken(self, limit: int) -> AbstractAsyncContextManager[Sequence[Message]]:
        """The first messages taken, as Reconcilable.taken says; the block may last TAKE_LIMIT seconds."""
        return taken.page(self._opened, self._application_name, limit, self._time_limit)

    def pool_state(self) -> PoolState | None:
        """The pool as it is now; None while the sink is closed."""
        return None if self._pool is None else self._pool.state

    async def server_state(self) -> ServerState:
        """Read once from the server. Raises SinkUnavailable."""
        return await self._opened.server_state()

    @property
    def _opened(self) -> Pool:
        if self._pool is None:
            raise SinkUnavailable("the graph sink is not open")
        return self._pool

    async def _create(self, constraint: str) -> None:
        # Those who create the same at once look at the label together, and then none can change it: all but one lose.
        for _ in range(RIVALS):
            try:
                async with self._opened.transaction(PREPARE_LIMIT) as transaction:
                    await transaction.run(constraint)
            except BatchError as error:
                reason = str(error)
            else:
                return
        raise SinkUnavailable(f"too many workers prepare the graph at once: {reason}")

    async def _write_kind(
        self,
        transaction: Transaction,
        kind: str,
        turn: Mapping[str, _Placed],
        outcomes: list[Written | Duplicate],
    ) -> None:
        """Write the records of one kind, no key twice, and enter in `outcomes` those that were written."""
        rows = [{"id": id_, "hash": turn[id_].record.content_hash} for id_ in sorted(turn)]
        [[found]] = await transaction.run(self._statements.gate[kind], {"rows": rows})
        todo: list[dict[str, Any]] = []
        rewrite = False
        for id_, stored_hash, stored_version, was_written in found:
            position, record = turn[id_]
            # Another writer may have written the very same while the gate waited for its lock.
            if (stored_hash and stored_hash == record.content_hash) or _is_newer(stored_version, record.version):
                continue
            outcomes[position] = WRITTEN
            todo.append(_parameters(self._nodes[kind], record, stored_version))
            rewrite |= was_written
        if todo:
            statements = self._statements.rewrite if rewrite else self._statements.write
            await transaction.run(statements[kind], {"rows": todo})


class _Placed(NamedTuple):
    """A record and its position in the batch."""

    position: int
    record: Record


def _turns(batch: Batch) -> list[dict[str, dict[str, _Placed]]]:
    """The records by kind and id, in as many turns as one id comes up: a statement judges all its rows at once."""
    turns: list[dict[str, dict[str, _Placed]]] = []
    times: Counter[tuple[str, str]] = Counter()
    for position, record in enumerate(batch.records):
        row: NodeRow = record.row
        nth = times[row.kind, row.id]
        times[row.kind, row.id] += 1
        if nth == len(turns):
            turns.append(defaultdict(dict))
        turns[nth][row.kind][row.id] = _Placed(position, record)
    return turns


def _parameters(node: Node, record: Record, stored_version: object) -> dict[str, Any]:
    """One row of the writing statements. A record without a version keeps the stored one (decision 0009)."""
    row: NodeRow = record.row
    version = stored_version if record.version is None else record.version
    own = {node.key: row.id, HASH: record.content_hash, VERSION: version}
    return {
        "id": row.id,
        "properties": {**row.properties, **own},
        "edges": {edge.field: list(row.edges.get(edge.field, ())) for edge in node.edges},
    }


def _is_newer(stored: object, version: int | None) -> bool:
    """Whether the stored version is strictly newer; one that is no number counts as none."""
    return isinstance(stored, int) and version is not None and stored > version
