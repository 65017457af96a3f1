"""The input, counted and split in two."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

import pytest

from penstock.demo import publishing
from penstock.demo.publishing import COUNTED, FIRST_OF_MANY, Input
from penstock.errors import PublishError, UsageError
from penstock.jsonl import JsonLines
from penstock.reader import Outgoing
from penstock.settings import RabbitMQ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

READER = JsonLines("shop", "order")


@pytest.fixture
def records(tmp_path: Path) -> Callable[[int], Input]:
    def make(count: int) -> Input:
        file = tmp_path / "orders.jsonl"
        file.write_text("".join(f"{number}\n" for number in range(count)))
        return Input(READER, file)

    return make


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[bytes]]:
    """The bodies of each publish there was."""
    parts: list[list[bytes]] = []

    async def publish_all(
        _settings: RabbitMQ, _topologies: object, outgoing: Iterable[Outgoing], *, on_progress: Callable[[int], None]
    ) -> int:
        parts.append([message.body for message in outgoing])
        on_progress(len(parts[-1]))
        return len(parts[-1])

    monkeypatch.setattr(publishing, "publish_all", publish_all)
    return parts


@pytest.mark.parametrize(("count", "first"), [(2, 1), (3, 1), (1600, 800), (10_000, 5_000), (10_001, 5_000)])
def test_half_goes_first_and_of_many_some(records: Callable[[int], Input], count: int, first: int) -> None:
    assert records(count).first_part() == first


def test_of_a_large_input_no_more_is_read_than_decides(tmp_path: Path) -> None:
    endless = Endless()
    assert Input(endless, tmp_path).first_part() == FIRST_OF_MANY
    assert endless.given == COUNTED + 1


class Endless:
    """A reader that never comes to an end."""

    exchange = "shop"
    given = 0

    def files(self, path: Path) -> list[Path]:
        (path / "file").touch()
        return [path / "file"]

    def read(self, _stream: BinaryIO, _name: str) -> Iterator[Outgoing]:
        while True:
            self.given += 1
            yield Outgoing("shop", "order", b"1")


@pytest.mark.parametrize(("count", "held"), [(0, "no record"), (1, "one record only")])
def test_two_parts_need_two_records(records: Callable[[int], Input], count: int, held: str) -> None:
    with pytest.raises(UsageError, match=rf"--input .*orders\.jsonl holds {held}: the demo needs two at the least"):
        records(count).first_part()


def test_what_cannot_be_read_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--input .*/absent does not exist: name a folder"):
        Input(READER, tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"--input .*/pipe is neither a file nor a folder: name a folder"):
        Input(READER, tmp_path / "pipe")


async def test_the_second_part_goes_on_where_the_first_ended(
    records: Callable[[int], Input], sent: list[list[bytes]]
) -> None:
    told: list[int] = []
    messages = records(5).begin()
    await messages.publish(RabbitMQ(), {}, told.append, 2)
    assert (messages.counts, messages.total) == ({"order": 2}, 2)
    await messages.publish(RabbitMQ(), {}, told.append)
    assert (messages.counts, messages.total) == ({"order": 5}, 5)
    assert sent == [[b"0", b"1"], [b"2", b"3", b"4"]]
    assert told == [2, 5]


async def test_what_was_not_confirmed_is_not_counted(
    records: Callable[[int], Input], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def publish_all(_settings: RabbitMQ, _topologies: object, outgoing: Iterable[Outgoing], **_: object) -> int:
        list(outgoing)
        raise PublishError("refused")

    monkeypatch.setattr(publishing, "publish_all", publish_all)
    messages = records(5).begin()
    with pytest.raises(PublishError):
        await messages.publish(RabbitMQ(), {}, lambda _: None)
    assert messages.total == 0
