"""Bad records alone are dead-lettered; a bad schema dead-letters almost nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from penstock.drill.servers.wait import wait_until
from support import broker, stores

if TYPE_CHECKING:
    from penstock.drill.installation import Installation


def artist(number: int, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "artist", {"type": "artist", "id": str(number), "name": f"artist {number}", **fields}


BAD: dict[str, bytes] = {
    "not_json": b"this is not JSON",
    "invalid": json.dumps({"type": "artist", "id": ""}).encode(),
    "bad_data": json.dumps({"type": "artist", "id": "77", "name": "a\u0000b"}).encode(),
    "too_large": json.dumps({"type": "artist", "id": "78", "name": "x" * 12_000_000}).encode(),
    "too_deep": b'{"type": "artist", "id": "79", "more": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
}

#: Its record could be decoded, and so has a key.
DECODED = {"bad_data"}


async def test_exactly_the_bad_ones_are_in_the_dlq(penstock: Installation, broker_url: str, postgres_url: str) -> None:
    penstock.drain("discogs-table")
    good = [artist(1000 + number) for number in range(1000)]
    messages: list[tuple[str, Any]] = list(good)
    for place, body in enumerate(BAD.values()):
        messages.insert(100 + 150 * place, ("artist", body))
    with penstock.start("run", "discogs-table") as worker:
        worker.wait_ready()
        await broker.publish(broker_url, "discogs", messages)
        wait_until(lambda: worker.metric("penstock_outcomes_total") == 1005, 60, "1,005 outcomes")
        assert worker.running
        # It runs on: what comes after is written as before.
        await broker.publish(broker_url, "discogs", [artist(5000)])
        wait_until(lambda: worker.metric("penstock_outcomes_total", outcome="written") == 1001, 60, "one more")
        assert worker.metric("penstock_dead_lettered_total") == len(BAD)
        assert worker.stop() == 0
    assert await stores.rows(postgres_url, "artists") == 1001

    letters = await broker.take_all(broker_url, "discogs-table.dlq")
    by_reason = {str(letter.headers["penstock-error-reason"]): letter for letter in letters}
    assert {reason: letter.body for reason, letter in by_reason.items()} == BAD
    assert len(letters) == len(BAD)
    for reason, letter in by_reason.items():
        headers = letter.headers
        assert headers["penstock-worker"] == "discogs-table"
        assert (headers["penstock-original-exchange"], headers["penstock-original-routing-key"]) == (
            "discogs",
            "artist",
        )
        assert headers["penstock-error-class"]
        assert 0 < len(str(headers["penstock-error-message"])) <= 2048
        assert headers["penstock-failed-at"]
        # What could not be decoded has no key yet: it gets that of its record, once it is mended.
        assert len(str(headers.get("penstock-key", ""))) == (64 if reason in DECODED else 0)
        assert headers["penstock-attempts"] == 1
    assert "id" in str(by_reason["invalid"].headers["penstock-error-message"])
    assert await broker.depth(broker_url, "discogs-table") == 0


async def test_a_new_column_that_must_not_be_null_blows_the_fuse(
    penstock: Installation, broker_url: str, postgres_url: str
) -> None:
    penstock.drain("discogs-table")
    await stores.ask(postgres_url, "ALTER TABLE artists ADD COLUMN must text NOT NULL")
    installation = penstock.with_settings(fuse__window=200, breaker__probe_min=0.2, breaker__probe_max=0.4)
    with installation.start("run", "discogs-table") as worker:
        worker.wait_ready()
        await broker.publish(broker_url, "discogs", [artist(number) for number in range(3000)])
        alert = worker.wait_for("paused")
        assert alert["reason"] == "fuse"
        assert alert["level"] == "error"
        assert "fuse.percent" in alert["error"]
        wait_until(lambda: worker.metric("penstock_consuming") == 0, 20, "the consumer is cancelled")
        assert worker.metric("penstock_fuse_blown") == 1
        ready = worker.get("/readyz")
        assert ready.status_code == 503
        assert "refused" in ready.json()["reason"]
        # It is tried again and again, and nothing of it goes to the DLQ.
        wait_until(lambda: len(worker.events("paused")) >= 3, 60, "the third try")
        assert await broker.depth(broker_url, "discogs-table.dlq") <= 200

        await stores.ask(postgres_url, "ALTER TABLE artists DROP COLUMN must")
        wait_until(lambda: worker.metric("penstock_outcomes_total") >= 3000, 60, "all outcomes")
        worker.wait_ready()
        assert worker.metric("penstock_fuse_blown") == 0
        dead = worker.metric("penstock_dead_lettered_total")
        assert worker.stop() == 0
    assert dead <= 200
    assert await stores.rows(postgres_url, "artists") == 3000 - dead
