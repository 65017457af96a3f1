"""Editing a letter through the Python API: its key, and what happens where it cannot be done."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from penstock.deadletter import Filter, edit, import_letters, purge, replay, the_only
from penstock.deadletter.letter import LARGEST_HEADER
from penstock.errors import LetterRefused, PublishRefused, UsageError
from penstock.idempotency import key_of
from penstock.settings import RabbitMQ, Settings
from support import broker, replays
from support.notes import GatedSink, declare, notes_worker
from support.wait import INTERVAL

if TYPE_CHECKING:
    from penstock.worker import Worker

DLQ = "notes.dlq"
EVERY = Filter()


@pytest.fixture
def worker() -> Worker:
    return notes_worker(GatedSink())


@pytest.fixture
def settings(broker_url: str) -> Settings:
    return Settings(rabbitmq=RabbitMQ(url=SecretStr(broker_url)))


async def contents(url: str) -> list[tuple[Any, ...]]:
    return [replays.content(letter) for letter in await replays.look(url, DLQ)]


async def test_a_letter_that_the_broker_made_gets_the_key_that_its_message_has(
    worker: Worker, settings: Settings, broker_url: str
) -> None:
    """No worker has seen it, so its key is nowhere; mended, it is still the event that it was."""
    await declare(broker_url)
    dying = {"x-message-ttl": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": DLQ}
    await broker.declare_queue(broker_url, "dying", "shop", dying)
    await broker.publish(broker_url, "shop", [("order", {"id": 1, "text": "old"})])
    async with asyncio.timeout(20):
        while not await broker.depth(broker_url, DLQ):  # noqa: ASYNC110 a queue tells nobody
            await asyncio.sleep(INTERVAL)
    letter = await the_only(settings, DLQ, EVERY)
    assert letter.key is None
    await edit(worker, settings, letter, b'{"id": 1, "text": "new"}')
    [sent] = await broker.take_all(broker_url, "notes")
    assert sent.body == b'{"id": 1, "text": "new"}'
    assert sent.headers["penstock-key"] == key_of(None, {"id": 1, "text": "old"}, ())


async def test_a_letter_that_is_gone_meanwhile_is_not_sent(worker: Worker, settings: Settings, broker_url: str) -> None:
    await declare(broker_url)
    twins = [(b'{"id": "x"}', replays.headers(key)) for key in ("one", "two")]
    await replays.put(broker_url, DLQ, twins)
    letter = await the_only(settings, DLQ, Filter(key="one"))
    await purge(settings, DLQ, Filter(key="one"))
    before = await contents(broker_url)
    with pytest.raises(LetterRefused, match="any more"):
        await edit(worker, settings, letter, b'{"id": 1}')
    assert await contents(broker_url) == before
    assert await broker.depth(broker_url, "notes") == 0


async def test_one_letter_has_to_be_meant(settings: Settings, broker_url: str) -> None:
    await replays.put(broker_url, DLQ, [(b"{}", replays.headers(key)) for key in ("one", "two")])
    with pytest.raises(UsageError, match="more than one"):
        await the_only(settings, DLQ, EVERY)
    with pytest.raises(UsageError, match="no letter"):
        await the_only(settings, DLQ, Filter(key="three"))
    assert (await the_only(settings, DLQ, EVERY, 1)).key == "two"


async def test_a_letter_whose_headers_fit_in_no_frame_stays(
    worker: Worker, settings: Settings, broker_url: str
) -> None:
    await declare(broker_url)
    headers = {**replays.headers("large"), "large": "x" * LARGEST_HEADER}
    await replays.put(broker_url, DLQ, [(b'{"id": 1}', headers), (b'{"id": 2}', replays.headers("small"))])
    before = await contents(broker_url)
    tally = await replay(worker, settings)
    assert (tally.done, dict(tally.left)) == (1, {"unsendable": 1})
    with pytest.raises(LetterRefused, match="too large"):
        await edit(worker, settings, await the_only(settings, DLQ, EVERY), b'{"id": 3}')
    assert await contents(broker_url) == before[:1]


async def test_an_import_that_fails_says_how_far_it_came(settings: Settings, broker_url: str) -> None:
    await replays.put(broker_url, DLQ, [(json.dumps({"id": n}).encode(), replays.headers(str(n))) for n in range(3)])
    letters = [await the_only(settings, DLQ, Filter(key=str(number))) for number in range(3)]
    with pytest.raises(PublishRefused, match="nowhere"):
        await import_letters(settings, "nowhere", letters)
    tally = await import_letters(settings, DLQ, iter(letters))
    assert tally.done == 3
    found = await contents(broker_url)
    assert found[:3] == found[3:]
