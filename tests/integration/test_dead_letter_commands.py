"""`penstock dlq replay`, `edit`, `import`, `move` and `purge` as people type them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from penstock.discovery import load_worker
from penstock.drill.installation import Installation
from penstock.idempotency import key_of
from support import broker, replays, stores

if TYPE_CHECKING:
    from pathlib import Path

LEDGER, TABLE = "drill-ledger", "drill-table"
DLQ = f"{LEDGER}.dlq"


async def contents(url: str, queue: str = DLQ) -> list[tuple[Any, ...]]:
    return [replays.content(letter) for letter in await replays.look(url, queue)]


def change(number: int, **more: Any) -> bytes:
    return json.dumps({"id": f"m{number}", "key": number, "version": 1, **more}).encode()


#: Of the message that `one_bad` publishes.
KEY = key_of({}, json.loads(change(1, key="five")), load_worker(LEDGER).key_fields)


async def ledger(url: str) -> list[list[Any]]:
    return await stores.ask(url, "SELECT id, key, key_version FROM drill_ledger ORDER BY id")


@pytest.fixture
def bare(broker_url: str, postgres_url: str) -> Installation:
    """No worker has run yet."""
    return Installation({"RABBITMQ_URL": broker_url, "POSTGRES_URL": postgres_url})


@pytest.fixture
def installed(bare: Installation) -> Installation:
    """The worker has run once, so that its queues and tables are there."""
    bare.drain(LEDGER)
    return bare


async def one_bad(penstock: Installation, url: str) -> None:
    """A letter in the DLQ of the ledger, refused by the worker itself: its key is no number."""
    await broker.publish(url, "drill", [("any", change(1, key="five"))])
    ended = penstock.drain(LEDGER)[LEDGER]
    assert ended["dead_lettered"] == 1


async def test_a_letter_that_is_mended_is_written_once(
    installed: Installation, broker_url: str, postgres_url: str
) -> None:
    await one_bad(installed, broker_url)
    before = await contents(broker_url)
    refused = installed.penstock("dlq", "edit", LEDGER, "--position", "0", "--set", "key=six")
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert "key: Input should be a valid integer" in line
    assert await contents(broker_url) == before

    told = installed.done("dlq", "edit", LEDGER, "--position", "0", "--set", "$.key=5")
    assert f"replayed to {LEDGER}" in told
    assert await contents(broker_url) == []
    [sent] = await replays.look(broker_url, LEDGER)
    [letter] = before
    # That of the message as it was published, though it could not be decoded then.
    assert sent.headers["penstock-key"] == KEY
    assert "penstock-key" not in dict(letter[1])["headers"]
    assert installed.drain(LEDGER)[LEDGER]["written"] == 1
    assert await ledger(postgres_url) == [["m1", 5, 1]]
    # The same letter, mended again from a copy: its key is in the ledger.
    await replays.put(broker_url, DLQ, [(change(1, key="five"), dict(letter[1])["headers"])])
    installed.done("dlq", "edit", LEDGER, "--set", "key=5", "--force")
    assert installed.drain(LEDGER)[LEDGER]["duplicate"] == 1
    assert await ledger(postgres_url) == [["m1", 5, 1]]


async def test_a_letter_is_mended_in_the_editor_and_kept(
    installed: Installation, broker_url: str, postgres_url: str
) -> None:
    await one_bad(installed, broker_url)
    before = await contents(broker_url)
    for editor, answer in (("true", "nothing was changed"), ("sed -i s/five/six/", "key: Input"), ("false", "ended")):
        result = installed.with_settings(EDITOR=editor).penstock("dlq", "edit", LEDGER)
        assert result.returncode == 1, result
        assert answer in result.stderr
        assert await contents(broker_url) == before
    told = installed.with_settings(EDITOR="sed -i '/five/s/\"five\"/5/'").done(
        "dlq", "edit", LEDGER, "--keep", "--json"
    )
    assert json.loads(told)["done"] == 1
    [letter] = await replays.look(broker_url, DLQ)
    assert json.loads(letter.body) == json.loads(change(1, key=5))
    assert letter.headers == {**dict(before[0][1])["headers"], "penstock-key": KEY}
    installed.done("dlq", "replay", LEDGER)
    installed.drain(LEDGER)
    assert await ledger(postgres_url) == [["m1", 5, 1]]


#: Words of `edit`, and what the line that refuses them names.
MISTAKES = (
    (["--set", "key=5"], "more than one letter"),
    (["--position", "7", "--set", "key=5"], "no letter"),
    (["--position", "0", "--set", "key"], "PATH=VALUE"),
    (["--position", "0", "--set", "a.b.c=5"], "a.b.c"),
    (["--position", "0", "--set", "a[=5"], "a["),
    (["--position", "2", "--set", "key=5"], "not JSON"),
    (["--position", "0"], "--set"),
)


async def test_an_edit_that_cannot_be_meant_is_a_line_that_names_it(bare: Installation, broker_url: str) -> None:
    bodies = (change(1, key="five"), change(2, key="five"), b"not JSON")
    await replays.put(broker_url, DLQ, [(body, replays.headers(body.hex())) for body in bodies])
    before = await contents(broker_url)
    for words, answer in MISTAKES:
        result = bare.penstock("dlq", "edit", LEDGER, *words)
        assert result.returncode == 2
        [line] = result.stderr.splitlines()
        assert answer in line
    assert await contents(broker_url) == before


async def test_a_letter_whose_row_was_written_since_is_skipped_unless_forced(
    bare: Installation, broker_url: str, postgres_url: str
) -> None:
    bare.drain(TABLE)
    await broker.publish(broker_url, "drill", [("any", change(number, version=5)) for number in (1, 2)])
    bare.drain(TABLE)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    letters = [
        (change(1, id="older", version=6), replays.headers("one")),
        (change(2, id="after", version=6), replays.headers("two", failed_at=later)),
        (change(3, id="new"), replays.headers("three")),
        (b"not JSON", replays.headers("four")),
    ]
    await replays.put(broker_url, f"{TABLE}.dlq", letters)
    edited = bare.penstock("dlq", "edit", TABLE, "--position", "0", "--set", "version=7")
    assert edited.returncode == 1
    assert "written after it failed" in edited.stderr
    told = json.loads(bare.done("dlq", "replay", TABLE, "--json", "--dry-run"))
    assert (told["done"], told["left"]) == (3, {"written_since": 1})
    told = json.loads(bare.done("dlq", "replay", TABLE, "--json"))
    assert (told["matched"], told["done"], told["left"]) == (4, 3, {"written_since": 1})
    bare.drain(TABLE)
    rows = "SELECT key, id FROM drill_table ORDER BY key"
    assert await stores.ask(postgres_url, rows) == [[1, "m1"], [2, "after"], [3, "new"]]
    assert json.loads(bare.done("dlq", "replay", TABLE, "--force", "--key", "one", "--json"))["done"] == 1
    bare.drain(TABLE)
    assert await stores.ask(postgres_url, rows) == [[1, "older"], [2, "after"], [3, "new"]]


async def test_what_a_replay_itself_has_written_skips_nothing(
    bare: Installation, broker_url: str, postgres_url: str
) -> None:
    """Two letters of one row: the second is replayed though the worker has written the first by then."""
    letters = [(change(1, id=f"v{number}", version=number), replays.headers(f"v{number}")) for number in (1, 2, 3)]
    await replays.put(broker_url, f"{TABLE}.dlq", letters)
    with bare.start("run", TABLE) as worker:
        worker.wait_ready()
        assert json.loads(bare.done("dlq", "replay", TABLE, "--json", "--rate", "1"))["done"] == 3
        worker.stop()
    assert await stores.ask(postgres_url, "SELECT id FROM drill_table") == [["v3"]]


async def test_an_event_that_is_in_the_ledger_is_skipped(
    installed: Installation, broker_url: str, postgres_url: str
) -> None:
    await broker.publish(broker_url, "drill", [("any", change(1))], **{"penstock-key": "event-1"})
    installed.drain(LEDGER)
    await replays.put(broker_url, DLQ, [(change(1), replays.headers("event-1")), (change(2), replays.headers("two"))])
    told = json.loads(installed.done("dlq", "replay", LEDGER, "--json"))
    assert (told["done"], told["left"]) == (1, {"written_since": 1})
    installed.drain(LEDGER)
    assert await ledger(postgres_url) == [["m1", 1, 1], ["m2", 2, 1]]


async def test_where_the_sink_is_away_nothing_is_replayed_unless_forced(
    installed: Installation, broker_url: str
) -> None:
    await replays.put(broker_url, DLQ, [(change(1), replays.headers("one"))])
    away = installed.with_settings(POSTGRES_URL="postgresql://127.0.0.1:1/nowhere")
    result = away.penstock("dlq", "replay", LEDGER)
    assert result.returncode == 1
    assert "127.0.0.1:1" in result.stderr
    assert await broker.depth(broker_url, DLQ) == 1
    away.done("dlq", "replay", LEDGER, "--force")
    assert await broker.depth(broker_url, DLQ) == 0


async def test_what_is_exported_is_imported_as_it_was(bare: Installation, broker_url: str, tmp_path: Path) -> None:
    odd = {
        "traceparent": "00-a-b-01",
        "raw": bytearray(b"\x00\xff"),
        "nested": {"a": [1, {"b": None}]},
        "big": 2**40,
        "yes": True,
    }
    bodies = [change(1), b"\x00\xff\xfe", "ö € 𝄞".encode(), b"", b'{"price": 1.10}']
    letters = [(body, {**odd, **replays.headers(f"k{number}")}) for number, body in enumerate(bodies)]
    await replays.put(broker_url, DLQ, letters, priority=3, timestamp=datetime(2026, 1, 2, tzinfo=UTC), app_id="shop")
    before = await contents(broker_url)
    file = tmp_path / "letters.jsonl"
    bare.done("dlq", "export", LEDGER, "--output", file)
    assert json.loads(bare.done("dlq", "purge", LEDGER, "--yes", "--json"))["done"] == 5
    assert await contents(broker_url) == []
    assert json.loads(bare.done("dlq", "import", LEDGER, file, "--json"))["done"] == 5
    assert await contents(broker_url) == before


async def test_a_line_that_is_no_letter_is_named_and_nothing_is_imported(
    bare: Installation, broker_url: str, tmp_path: Path
) -> None:
    await replays.put(broker_url, DLQ, [(change(1), replays.headers("one"))])
    file = tmp_path / "letters.jsonl"
    bare.done("dlq", "export", LEDGER, "--output", file)
    file.write_text(file.read_text() + '\n{"body": "x", "properties": {"colour": "red"}}\n')
    result = bare.penstock("dlq", "import", LEDGER, file)
    assert result.returncode == 2
    assert f"{file.name}, line 3: properties: there is no colour" in result.stderr
    assert await broker.depth(broker_url, DLQ) == 1


async def test_purge_asks_and_takes_no_more_than_it_said(bare: Installation, broker_url: str) -> None:
    await replays.put(broker_url, DLQ, [(change(number), replays.headers(f"k{number}")) for number in range(3)])
    result = bare.penstock("dlq", "purge", LEDGER, "--key", "k1")
    assert result.returncode == 1
    assert "remove 1 of 3 letters" in result.stderr
    assert await broker.depth(broker_url, DLQ) == 3
    bare.done("dlq", "purge", LEDGER, "--key", "k1", "--yes")
    assert [letter.body for letter in await replays.look(broker_url, DLQ)] == [change(0), change(2)]
    assert "0 of 0 letters" in bare.done("dlq", "purge", LEDGER, "--key", "k1")


async def test_who_did_what_is_in_the_audit(installed: Installation, broker_url: str, tmp_path: Path) -> None:
    await replays.put(broker_url, DLQ, [(change(number), replays.headers(f"k{number}")) for number in range(3)])
    await replays.put(broker_url, "parking", [])
    audit = tmp_path / "audit.jsonl"
    with_audit = installed.with_settings(dlq__audit=str(audit))
    with_audit.done("dlq", "replay", LEDGER, "--dry-run")
    assert not audit.exists()
    with_audit.done("dlq", "replay", LEDGER, "--reason", "invalid", "--older-than", "1h", "--limit", "1")
    with_audit.done("dlq", "move", LEDGER, "--path", "$.key=1", "--to", "parking")
    with_audit.done("dlq", "purge", LEDGER, "--yes")
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(line["event"], line["stage"], line.get("done")) for line in lines] == [
        ("dead_letters_replayed", "begun", None),
        ("dead_letters_replayed", "ended", 1),
        ("dead_letters_moved", "begun", None),
        ("dead_letters_moved", "ended", 1),
        ("dead_letters_purged", "begun", None),
        ("dead_letters_purged", "ended", 1),
    ]
    assert lines[1]["filter"] == {"reason": "invalid", "older_than": 3600}
    assert lines[3]["filter"] == {"paths": ["$.key=1"]}
    assert lines[1]["id"] == lines[0]["id"] != lines[2]["id"]
    assert all(line["by"] and line["host"] and line["timestamp"] for line in lines)

    nowhere = installed.with_settings(dlq__audit=str(tmp_path / "no" / "audit")).penstock("dlq", "replay", LEDGER)
    assert nowhere.returncode == 2
    assert "dlq.audit" in nowhere.stderr


async def test_a_replay_that_fails_says_what_was_done(installed: Installation, broker_url: str) -> None:
    await replays.put(broker_url, DLQ, [(change(1), replays.headers("one"))])
    result = installed.penstock("dlq", "replay", LEDGER, "--to", "nowhere", "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["done"] == 0
    assert "'nowhere'" in result.stderr
    assert await broker.depth(broker_url, DLQ) == 1
