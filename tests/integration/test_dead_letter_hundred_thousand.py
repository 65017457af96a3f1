"""A hundred thousand letters of three workers: counted in constant memory, and one group of them replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pamqp.commands import Basic

from penstock.drill.installation import Installation
from support import broker, bulk, replays, stores
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.installation import Process
    from penstock.drill.servers import Server

#: Of each worker: how many letters.
LETTERS = {"drill-ledger": 10_000, "drill-table": 45_000, "drill-graph": 45_000}
WORKER, *_ = LETTERS
REASONS = ("invalid", "not_json", "check_violation", "too_large")
#: The reason of the group that is replayed, and one of so many letters is of it.
CHOSEN, EVERY = "foreign_key", 10
#: Bytes of a body, and letters of each worker that do for a measure of what the command takes with few of them.
BODY, FEW = 1000, 1000


def is_chosen(number: int) -> bool:
    return number % EVERY == EVERY // 2


def letters(worker: str, first: int, last: int) -> Iterator[tuple[bytes, Basic.Properties]]:
    """Of all reasons; the values in their messages differ."""
    for number in range(first, last):
        reason = CHOSEN if is_chosen(number) else REASONS[number % len(REASONS)]
        record = {"id": f"{worker} {number}", "key": number, "version": 1}
        body = json.dumps(record).encode().ljust(BODY)
        message = f"{reason}: the value {number} is refused"
        headers = replays.headers(f"{worker}-{number}", worker=worker, error_reason=reason, error_message=message)
        yield body, Basic.Properties(headers=headers, delivery_mode=2, message_id=f"m-{number}", priority=number % 10)


async def test_groups_counts_them_and_a_replay_of_one_group_leaves_the_rest_to_the_byte(
    rabbitmq: Server, virtual_host: str, postgres_url: str
) -> None:
    """On 3.10 alone, for the time it takes: smaller tests of each of these commands have both versions."""
    url = rabbitmq.address.within(virtual_host)
    penstock = Installation({"RABBITMQ_URL": url, "POSTGRES_URL": postgres_url})
    penstock.drain(WORKER)
    for name in LETTERS:
        await bulk.put(url, f"{name}.dlq", letters(name, 0, FEW))
    _, with_few = await grouped(penstock)
    for name, count in LETTERS.items():
        await bulk.put(url, f"{name}.dlq", letters(name, FEW, count))
    before = {name: await bulk.look(url, f"{name}.dlq") for name in LETTERS}
    assert {name: len(digests) for name, digests in before.items()} == LETTERS

    found, with_all = await grouped(penstock)
    # No limit is set to the time; -rP shows it.
    print(f"{found['letters']:,} letters in {found['seconds']} s; {with_few:,} and {with_all:,} bytes")  # noqa: T201
    assert (found["letters"], found["troubles"], len(found["groups"])) == (100_000, {}, 15)
    counts = {(group["worker"], group["reason"]): group["count"] for group in found["groups"]}
    for name, count in LETTERS.items():
        chosen = sum(map(is_chosen, range(count)))
        assert counts.pop((name, CHOSEN)) == chosen
        assert sum(counts[name, reason] for reason in REASONS) == count - chosen
    # Whatever is kept of each letter would be seen: their bodies alone are four times as much.
    assert with_all - with_few < 100_000 * BODY / 4

    [group] = [one for one in found["groups"] if (one["worker"], one["reason"]) == (WORKER, CHOSEN)]
    numbers = [number for number in range(LETTERS[WORKER]) if is_chosen(number)]
    with penstock.start("run", WORKER) as worker:
        worker.wait_ready()
        told = json.loads(penstock.done("dlq", "replay", WORKER, "--group", group["group"], "--json"))
        assert (told["looked_at"], told["matched"], told["done"], told["left"]) == (
            LETTERS[WORKER],
            len(numbers),
            len(numbers),
            {},
        )
        await until(lambda: worker.metric("penstock_outcomes_total") == len(numbers), "they are written", 60)
        assert worker.stop() == 0
    assert await broker.depth(url, WORKER) == 0
    rows = await stores.ask(postgres_url, "SELECT key FROM drill_ledger ORDER BY key")
    assert [row[0] for row in rows] == numbers
    before[WORKER] = [digest for number, digest in enumerate(before[WORKER]) if not is_chosen(number)]
    for name in LETTERS:
        # As lists they would be compared, and said, letter by letter.
        assert b"".join(await bulk.look(url, f"{name}.dlq")) == b"".join(before[name])


async def grouped(penstock: Installation) -> tuple[dict[str, Any], int]:
    """What `groups` says of all three, and the bytes of memory it had at most."""
    with penstock.start("dlq", "groups", *LETTERS, "--json") as command:
        peak = 0

        def ended() -> bool:
            nonlocal peak
            peak = max(peak, peak_of(command))
            return not command.running

        await until(ended, "groups are counted", 120)
        assert command.wait() == 0, command.output()
        return json.loads(command.output()), peak


def peak_of(process: Process) -> int:
    """The most bytes of memory that a process had so far; 0 where it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0].split()[1]) * 1024 if found else 0
