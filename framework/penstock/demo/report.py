"""What a demo promises, and what it found."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.errors import PenstockError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from penstock.demo.declaration import Graph


@dataclass(frozen=True, slots=True)
class Tally:
    """What there was when all of a pass was settled: read back from stores, queues and workers.

    `outcomes` are the workers' own counts since their start, by worker and outcome; `dead_letters` the depths of
    the DLQs by their names.
    """

    published: Mapping[str, int]
    rows: Mapping[str, int]
    graph: Graph
    outcomes: Mapping[str, Mapping[str, int]]
    dead_letters: Mapping[str, int]

    @property
    def messages(self) -> int:
        """How many messages were published in the pass."""
        return sum(self.published.values())


#: What becomes of a record that is a repetition of another, in the same batch or before.
_REPEATED = ("duplicate", "superseded")


def check_first(tally: Tally, table_worker: str) -> None:
    """Raise PenstockError, in one line, if anything is lost or refused after the first pass."""
    _complain([*_letters(tally), *_lost(tally, table_worker)])


def check_second(first: Tally, second: Tally) -> None:
    """Raise PenstockError, in one line, if the second pass was not made of duplicates, or changed anything."""
    _complain([*_letters(second), *_not_repeated(first, second), *_changed(first, second)])


def _letters(tally: Tally) -> Iterator[str]:
    for queue, depth in tally.dead_letters.items():
        if depth:
            yield f"{queue} holds {depth:,} dead letters where none was expected"


def _lost(tally: Tally, table_worker: str) -> Iterator[str]:
    rows, outcomes = sum(tally.rows.values()), tally.outcomes[table_worker]
    # A record that the input holds twice is one row. (So is one whose COMMIT went through though its answer was
    # lost: that may then look like a repetition, and never like a loss.)
    least = tally.messages - sum(outcomes.get(outcome, 0) for outcome in _REPEATED)
    if not least <= rows <= tally.messages:
        yield f"{tally.messages:,} records were published and confirmed, and there are {rows:,} rows"
    for worker, found in tally.outcomes.items():
        if (done := sum(found.values())) < tally.messages:
            yield f"{worker} has an outcome for {done:,} records of {tally.messages:,}"


def _not_repeated(first: Tally, second: Tally) -> Iterator[str]:
    if first.published != second.published:
        yield f"the second pass published {second.messages:,} messages, the first one {first.messages:,}"
    for worker, before in first.outcomes.items():
        new = Counter(second.outcomes[worker])
        new.subtract(before)
        if new["written"]:
            yield f"{worker} wrote {new['written']:,} records of the second pass again"
        repeated = sum(new[outcome] for outcome in _REPEATED)
        if repeated != second.messages:
            yield f"{worker} knew {repeated:,} records of {second.messages:,} again"


def _changed(first: Tally, second: Tally) -> Iterator[str]:
    for what, before, after in (
        ("rows", first.rows, second.rows),
        ("nodes", first.graph.nodes, second.graph.nodes),
        ("edges", first.graph.edges, second.graph.edges),
    ):
        if before != after:
            yield f"the second pass changed the {what} from {dict(before)} to {dict(after)}"


def _complain(faults: list[str]) -> None:
    if faults:
        raise PenstockError(f"the demo did not keep its promise: {'; '.join(faults)}")


def result_line(tally: Tally, seconds: float) -> str:
    """Return the result as one line of JSON: what one pass published, and what is in the stores and DLQs."""
    result = {
        "published": _sorted(tally.published),
        "rows": _sorted(tally.rows),
        "nodes": _sorted(tally.graph.nodes),
        "edges": _sorted(tally.graph.edges),
        "dead_letters": sum(tally.dead_letters.values()),
        "seconds": round(seconds, 1),
    }
    return json.dumps(result)


def contents(tally: Tally) -> list[tuple[str, str, str]]:
    """Return what is in the stores as rows of a table: what it is, its name, how many."""
    kinds = (("rows", tally.rows), ("nodes", tally.graph.nodes), ("edges", tally.graph.edges))
    lines = []
    for kind, counts in kinds:
        lines += [(kind, name, f"{count:,}") for name, count in _sorted(counts).items()]
        lines.append((kind, "all", f"{sum(counts.values()):,}"))
    return lines


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))
