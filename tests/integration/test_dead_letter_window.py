"""Many letters on their way at once: order, one that comes back, and letters that share the id of their message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pamqp.commands import Basic
from pydantic import SecretStr

from penstock.deadletter.filter import Filter
from penstock.deadletter.replaying import replay
from penstock.deadletter.transfer import Manner, Parcel, Tally, Transfer
from penstock.errors import NotRouted
from penstock.settings import RabbitMQ, Settings
from support import replays
from support.notes import GatedSink, declare, notes_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.deadletter.transfer import Fate
    from penstock.deadletter.view import Letter

DLQ = "notes.dlq"


async def fill(url: str, count: int) -> None:
    await declare(url)
    letters = [(json.dumps({"id": number}).encode(), replays.headers(f"key-{number}")) for number in range(count)]
    await replays.put(url, DLQ, letters)


async def numbers(url: str, queue: str) -> list[int]:
    return [json.loads(letter.body)["id"] for letter in await replays.look(url, queue)]


def settings(url: str) -> Settings:
    return Settings(rabbitmq=RabbitMQ(url=SecretStr(url)))


async def transferred(
    url: str, in_flight: int, message_id: Callable[[int], str], nowhere: Sequence[int], tally: Tally
) -> None:
    """All letters to the queue of their worker, those of some positions to where there is none."""

    async def decide(letters: Sequence[Letter]) -> Sequence[Fate]:
        return [
            Parcel(
                "nowhere" if letter.position in nowhere else "notes",
                letter.body,
                Basic.Properties(message_id=message_id(letter.position), delivery_mode=2),
            )
            for letter in letters
        ]

    await Transfer(settings(url), DLQ, Filter(), decide, Manner(in_flight=in_flight)).run(tally)


@pytest.mark.parametrize("in_flight", [1, 7, 100])
async def test_they_arrive_in_order_and_all_leave_the_dlq(broker_url: str, in_flight: int) -> None:
    await fill(broker_url, 60)
    worker: Any = notes_worker(GatedSink())
    tally = await replay(worker, settings(broker_url), manner=Manner(in_flight=in_flight))
    assert (tally.looked_at, tally.matched, tally.done, dict(tally.left)) == (60, 60, 60, {})
    assert await numbers(broker_url, DLQ) == []
    assert await numbers(broker_url, "notes") == list(range(60))


async def test_one_that_comes_back_stays_and_so_does_all_that_was_not_confirmed(broker_url: str) -> None:
    await fill(broker_url, 30)
    tally = Tally(DLQ)
    with pytest.raises(NotRouted, match="nowhere"):
        await transferred(broker_url, 10, "m-{}".format, [4], tally)
    # The rest of its window was on its way already; the next window is not sent.
    assert await numbers(broker_url, DLQ) == [4, *range(10, 30)]
    assert await numbers(broker_url, "notes") == [number for number in range(10) if number != 4]
    assert (tally.looked_at, tally.matched, tally.done) == (30, 30, 9)


async def test_letters_of_one_message_id_are_sent_one_after_the_other_and_none_overtakes(broker_url: str) -> None:
    await fill(broker_url, 40)
    tally = Tally(DLQ)
    await transferred(broker_url, 40, lambda number: f"m-{number // 2}", [], tally)
    assert await numbers(broker_url, DLQ) == []
    assert await numbers(broker_url, "notes") == list(range(40))
    assert tally.done == 40


async def test_one_that_comes_back_is_not_taken_for_another_of_its_message_id(broker_url: str) -> None:
    await fill(broker_url, 12)
    tally = Tally(DLQ)
    with pytest.raises(NotRouted, match="nowhere"):
        await transferred(broker_url, 12, lambda number: "same" if number in {3, 4, 5} else f"m-{number}", [4], tally)
    # What was behind it waited for its confirm, and is not sent past it.
    assert await numbers(broker_url, DLQ) == list(range(4, 12))
    assert await numbers(broker_url, "notes") == list(range(4))
    assert tally.done == 4
