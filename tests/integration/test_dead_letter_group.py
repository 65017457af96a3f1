"""Letters of several workers and reasons: a replay of one group writes exactly those, and leaves the rest as it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from penstock.drill.installation import Installation
from support import replays, stores

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKER, OTHERS = "drill-ledger", ("drill-table", "drill-graph")
REASONS = ("invalid", "not_json", "check_violation", "foreign_key", "too_large")
LETTERS = 1000


def letters(worker: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Of all reasons in turn; the values in their messages differ."""
    for number in range(LETTERS):
        reason = REASONS[number % len(REASONS)]
        body = json.dumps({"id": f"{worker} {number}", "key": number, "version": 1}).encode()
        message = f"{reason}: the value {number} is refused"
        yield body, replays.headers(f"{worker}-{number}", worker=worker, error_reason=reason, error_message=message)


async def test_a_replay_of_a_group_writes_exactly_those(broker_url: str, postgres_url: str) -> None:
    penstock = Installation({"RABBITMQ_URL": broker_url, "POSTGRES_URL": postgres_url})
    penstock.drain(WORKER)
    queues = [f"{name}.dlq" for name in (WORKER, *OTHERS)]
    for name, queue in zip((WORKER, *OTHERS), queues, strict=True):
        await replays.put(broker_url, queue, letters(name))
    before = {queue: [replays.content(one) for one in await replays.look(broker_url, queue)] for queue in queues}
    found = json.loads(penstock.done("dlq", "groups", WORKER, *OTHERS, "--json"))["groups"]
    assert len(found) == len(queues) * len(REASONS)
    assert {group["count"] for group in found} == {LETTERS // len(REASONS)}
    [chosen] = [group for group in found if (group["worker"], group["reason"]) == (WORKER, "foreign_key")]

    told = json.loads(penstock.done("dlq", "replay", WORKER, "--group", chosen["group"], "--json"))
    assert (told["looked_at"], told["matched"], told["done"], told["left"]) == (
        LETTERS,
        chosen["count"],
        chosen["count"],
        {},
    )
    assert penstock.drain(WORKER)[WORKER]["written"] == chosen["count"]
    place = REASONS.index("foreign_key")
    rows = await stores.ask(postgres_url, "SELECT key FROM drill_ledger ORDER BY key")
    assert [row[0] for row in rows] == list(range(place, LETTERS, len(REASONS)))
    for queue in queues:
        rest = [
            one
            for number, one in enumerate(before[queue])
            if queue != f"{WORKER}.dlq" or number % len(REASONS) != place
        ]
        assert [replays.content(one) for one in await replays.look(broker_url, queue)] == rest
