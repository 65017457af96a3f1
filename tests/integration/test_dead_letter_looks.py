"""`penstock dlq list`, `show`, `groups` and `export` as people type them."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from penstock.deadletter import letter_from_json
from penstock.drill.installation import Installation
from support import broker, replays, stores
from support.dead import dead_letter_all
from support.letters import FAILED_AT
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.rabbitmq

NAME = "drill-ledger"
DLQ = f"{NAME}.dlq"
#: Reason, class and message of a fault; % stands for a value.
FAULTS = [
    ("invalid", "ValidationError", "key: Input should be less than %"),
    ("not_json", "ValueError", "expected value at line 1 column %"),
    ("bad_data", "22003", "value % is out of range for type integer"),
    ("constraint", "23505", 'duplicate key value violates unique constraint "drill_pkey"'),
    ("worker_died", "WorkerDied", "the worker's process died % times"),
]
LOOKS = """
import sys
from penstock.cli import main

for _ in range(50):
    for words in (["list", "drill-ledger"], ["show", "drill-ledger", "--limit", "1000"], ["groups", "drill-ledger"]):
        try:
            main(["dlq", *words])
        except SystemExit as ended:
            if ended.code:
                raise
"""


@pytest.fixture
def installed(rabbitmq_url: str, postgres_url: str) -> Installation:
    return Installation({"RABBITMQ_URL": rabbitmq_url, "POSTGRES_URL": postgres_url})


def letters(worker: str, count: int) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Letters of all faults, in turn, a minute apart."""
    for number in range(count):
        reason, error_class, message = FAULTS[number % len(FAULTS)]
        moment = FAILED_AT + timedelta(minutes=number)
        yield (
            b'{"id": "m%d", "key": %d, "version": 1}' % (number, number),
            replays.headers(
                f"key-{number}",
                error_reason=reason,
                error_class=error_class,
                error_message=message.replace("%", str(number)),
                worker=worker,
                failed_at=moment.isoformat(timespec="milliseconds"),
            ),
        )


async def contents(url: str, queue: str = DLQ) -> list[Any]:
    return [(replays.content(one), one.exchange, one.routing_key) for one in await replays.look(url, queue)]


async def test_150_looks_change_nothing_and_disturb_no_worker(
    installed: Installation, rabbitmq_url: str, postgres_url: str
) -> None:
    await replays.put(rabbitmq_url, DLQ, letters(NAME, 200))
    await dead_letter_all(rabbitmq_url, "orders", DLQ)
    await replays.put(
        rabbitmq_url, DLQ, [(b"\xff\x00", {"odd": [1, {"raw": bytearray(b"\xff")}]})], priority=3, expiration=None
    )
    before = await contents(rabbitmq_url)
    assert len(before) == 205
    with installed.start("run", NAME) as worker:
        worker.wait_ready()
        looks = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            LOOKS,
            env=installed._environment(),  # noqa: SLF001
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        ended = asyncio.create_task(looks.communicate())
        sent = 0
        while not ended.done():
            bodies = [json.dumps({"id": f"n{sent + one}", "key": 1, "version": 1}).encode() for one in range(50)]
            sent += await broker.publish(rabbitmq_url, "drill", [("any", body) for body in bodies])
            await asyncio.wait({ended}, timeout=0.2)
        _, errors = await ended
        assert (looks.returncode, errors) == (0, b"")
        await until(lambda: worker.metric("penstock_outcomes_total") == sent, "all are written", 60)
        assert worker.metric("penstock_outcomes_total", outcome="written") == sent
        assert worker.metric("penstock_received_messages_total") == sent
        assert worker.metric("penstock_channel_generation") == 1
        assert not worker.events("consumer_paused")
        assert worker.stop() == 0
    assert await stores.rows(postgres_url, "drill_ledger") == sent
    assert await contents(rabbitmq_url) == before


async def test_groups_of_three_workers(installed: Installation, rabbitmq_url: str) -> None:
    names = {"drill-ledger": 1000, "drill-table": 600, "gone": 25}
    for name, count in names.items():
        await replays.put(rabbitmq_url, f"{name}.dlq", letters(name, count))
    found = json.loads(installed.done("dlq", "groups", *names, "--json"))
    assert found["letters"] == 1625
    assert found["seconds"] > 0
    assert found["troubles"] == {}
    counted = {(group["worker"], group["reason"], group["error_class"]): group["count"] for group in found["groups"]}
    assert counted == {
        (name, reason, error_class): count // len(FAULTS)
        for name, count in names.items()
        for reason, error_class, _ in FAULTS
    }
    one = next(group for group in found["groups"] if (group["worker"], group["reason"]) == ("drill-ledger", "bad_data"))
    assert one["fingerprint"] == "value … is out of range for type integer"
    assert one["oldest"] == (FAILED_AT + timedelta(minutes=2)).isoformat()
    assert one["newest"] == (FAILED_AT + timedelta(minutes=997)).isoformat()

    told = installed.done("dlq", "groups", *names).splitlines()
    assert told[0].split("\t")[:5] == ["group", "worker", "reason", "error class", "letters"]
    assert told[-1].startswith("1,625 letters in 15 groups, read in ")
    # The name of a group picks exactly its letters.
    picked = installed.done("dlq", "export", "drill-ledger", "--group", one["group"]).splitlines()
    assert [json.loads(line)["position"] for line in picked] == list(range(2, 1000, 5))


async def test_list_shows_depth_ages_and_reasons(installed: Installation, rabbitmq_url: str) -> None:
    await replays.put(rabbitmq_url, DLQ, letters(NAME, 7))
    await broker.declare_queue(rabbitmq_url, "bad.dlq", "any", {"x-queue-type": "quorum"})
    heading, ledger, absent, quorum = installed.done("dlq", "list", NAME, "never-ran", "bad").splitlines()
    assert heading == "worker\tqueue\tletters\toldest\tnewest\treasons"
    assert ledger == (
        f"{NAME}\t{DLQ}\t7\t2026-11-22 08:00:00Z\t2026-11-22 08:06:00Z"
        "\tinvalid 2, not_json 2, bad_data 1, constraint 1, worker_died 1"
    )
    assert absent.startswith("never-ran\tnever-ran.dlq\t-\t-\t-\tthere is no queue never-ran.dlq")
    assert quorum.startswith("bad\tbad.dlq\t-\t-\t-\tbad.dlq is a quorum queue")
    [found] = json.loads(installed.done("dlq", "list", NAME, "--json"))
    assert (found["worker"], found["queue"], found["count"], found["trouble"]) == (NAME, DLQ, 7, "")
    assert found["reasons"] == {"invalid": 2, "not_json": 2, "bad_data": 1, "constraint": 1, "worker_died": 1}
    # Nothing named: all workers that are installed.
    assert "\ndiscogs-table\tdiscogs-table.dlq\t-" in installed.done("dlq", "list")


async def test_show_says_why_in_plain_words(installed: Installation, rabbitmq_url: str) -> None:
    await replays.put(rabbitmq_url, DLQ, letters(NAME, 6), correlation_id="c-1")
    reasons = await dead_letter_all(rabbitmq_url, "orders", DLQ)
    told = installed.done("dlq", "show", NAME, "--reason", "constraint")
    [first, *lines] = told.splitlines()
    assert first.startswith(f"letter 3 of {DLQ}, group ")
    assert (
        "  why        A constraint of the sink forbids it. Mend the record or the constraint and replay."
        ' 23505: duplicate key value violates unique constraint "drill_pkey"'
    ) in lines
    assert "  published  to exchange 'shop' with key 'order'" in lines
    assert '             correlation_id: "c-1"' in lines or '  properties correlation_id: "c-1"' in lines
    assert told.endswith('{\n  "id": "m3",\n  "key": 3,\n  "version": 1\n}\n\n')

    # What the broker made itself comes last, each with what x-death says.
    shown = [json.loads(line) for line in installed.done("dlq", "show", NAME, "--limit", "99", "--json").splitlines()]
    assert [letter["position"] for letter in shown] == list(range(10))
    assert [letter["reason"] for letter in shown[6:]] == reasons == ["delivery_limit", "expired", "maxlen", "rejected"]
    for letter in shown[6:]:
        [death] = letter["properties"]["headers"]["x-death"]
        assert (death["queue"], death["reason"], death["count"]) == ("orders", letter["reason"], 1)
        assert letter["failed_at"] == death["time"]["$timestamp"]
        assert json.loads(letter["body"]) == {"died": letter["reason"]}
        text = installed.done("dlq", "show", NAME, "--position", str(letter["position"]))
        assert "  why        The broker put it here: it came to orders and w" in text
        assert f"  x-death    {letter['reason']} in orders, once, last at 2" in text
    assert "  key        k\n" in installed.done("dlq", "show", NAME, "--position", "6")
    assert installed.done("dlq", "show", NAME, "--reason", "none").startswith("none of the 10 letters")


async def test_the_filters_of_the_command_line(installed: Installation, rabbitmq_url: str) -> None:
    await replays.put(rabbitmq_url, DLQ, letters(NAME, 40))

    def picked(*words: str) -> list[int]:
        lines = installed.done("dlq", "export", NAME, *words).splitlines()
        return [json.loads(line)["position"] for line in lines]

    assert picked("--error-class", "22003", "--limit", "3") == [2, 7, 12]
    assert picked("--header", "penstock-key=key-17") == picked("--key", "key-17") == [17]
    assert picked("--natural-key", "m23") == [23]
    assert picked("--path", "$.key=5") == picked("--path", "$[?@ == 5]") == [5]
    assert picked("--path", "$.key=5", "--path", "$.id=m6") == []
    assert picked("--newer-than", "1s") == []
    wrong = installed.penstock("dlq", "export", NAME, "--older-than", "soon")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "penstock: --older-than: write an age as 90s, 5m, 2h, 7d or 1w, not soon\n",
    )
    assert installed.penstock("dlq", "show", NAME, "--path", "$.[").returncode == 2
    assert installed.penstock("dlq", "show", "never-ran").returncode == 1


async def test_an_export_has_all_of_every_message(installed: Installation, rabbitmq_url: str, tmp_path: Path) -> None:
    odd = {"half": 0.5, "at": FAILED_AT, "nested": {"raw": [bytearray(b"\xff"), None, True]}, "€": "€"}
    await replays.put(
        rabbitmq_url, DLQ, [(b"\xff\x00", odd)], priority=9, type="order", app_id="shop", timestamp=FAILED_AT
    )
    await replays.put(rabbitmq_url, DLQ, letters(NAME, 5))
    file = tmp_path / "letters.jsonl"
    told = installed.penstock("dlq", "export", NAME, "--output", file)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "penstock: 6 of 6 letters exported\n")
    again = installed.penstock("dlq", "export", NAME, "--output", file)
    assert (again.returncode, again.stderr) == (
        2,
        f"penstock: --output: {file} exists already: name a new file\n",
    )
    failed = installed.penstock("dlq", "export", "never-ran", "--output", tmp_path / "part.jsonl")
    assert failed.returncode == 1
    assert not (tmp_path / "part.jsonl").exists()
    kept = [letter_from_json(json.loads(line)) for line in file.read_bytes().splitlines()]
    held = await replays.look(rabbitmq_url, DLQ)
    assert [letter.body for letter in kept] == [message.body for message in held]
    assert [letter.headers for letter in kept] == [message.headers for message in held]
    first = kept[0].properties
    assert (first.priority, first.message_type, first.app_id, first.timestamp) == (9, "order", "shop", FAILED_AT)
    assert [letter.position for letter in kept] == list(range(6))
