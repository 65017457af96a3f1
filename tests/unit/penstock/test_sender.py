"""Refusals are counted and tried apart from the others; an outage is neither counted nor waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import penstock.sender
from penstock.errors import ChannelRefused, LinkError, PublishError, PublishRefused
from penstock.message import make
from penstock.sender import Sender
from penstock.settings import Settings, TransactionSettings
from support.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pamqp.commands import Basic

MESSAGE = make("id-1", "shop", "order", b"{}", headers={}, content_type="text/plain", now=0)
RETURNED = PublishRefused("no queue is bound")
CLOSED = ChannelRefused("no exchange 'shop'")
AWAY = LinkError("away")
SILENT = PublishError("not confirmed")
TAKEN = None


class Links:
    """Both connections: what each try ends with, in order, and by which connection it was made."""

    def __init__(self, *outcomes: LinkError | None) -> None:
        self.outcomes: Iterator[LinkError | None] = iter(outcomes)
        self.tries: list[str] = []

    def link(self, _settings: object, name: str, _blockage: object) -> Link:
        return Link(self, name)


class Link:
    def __init__(self, links: Links, name: str) -> None:
        self._links = links
        self._name = name

    async def publish(
        self,
        _exchange: str,
        _routing_key: str,
        body: bytes,
        properties: Basic.Properties,
        _given_up: Callable[[], bool],
    ) -> None:
        assert (body, properties.message_id) == (MESSAGE.body, MESSAGE.id)
        self._links.tries.append(self._name)
        outcome = next(self._links.outcomes)
        if outcome is not None:
            raise outcome


@pytest.mark.parametrize(
    ("outcomes", "raised", "tries", "waits"),
    [
        ([TAKEN], None, ["p"], 0),
        ([RETURNED, TAKEN], None, ["p", "p apart"], 1),
        ([RETURNED, RETURNED, RETURNED], RETURNED, ["p", "p apart", "p apart"], 2),
        # It may have been a neighbour's: at once, and not counted.
        ([CLOSED, TAKEN], None, ["p", "p apart"], 0),
        ([CLOSED, CLOSED, CLOSED, CLOSED], CLOSED, ["p", *["p apart"] * 3], 2),
        ([AWAY], AWAY, ["p"], 0),
        ([SILENT], SILENT, ["p"], 0),
        ([RETURNED, AWAY], AWAY, ["p", "p apart"], 1),
    ],
)
async def test_how_often_it_is_tried_where_and_after_how_many_waits(
    monkeypatch: pytest.MonkeyPatch,
    outcomes: list[LinkError | None],
    raised: LinkError | None,
    tries: list[str],
    waits: int,
) -> None:
    links = Links(*outcomes)
    monkeypatch.setattr(penstock.sender, "PublishLink", links.link)
    clock = ManualClock()
    sender = Sender(Settings(transaction=TransactionSettings(retry_attempts=3, retry_delay=2)), "p", clock)
    if raised is None:
        await sender.send(MESSAGE, lambda: False)
    else:
        with pytest.raises(type(raised)) as caught:
            await sender.send(MESSAGE, lambda: False)
        assert caught.value is raised
    assert links.tries == tries
    assert clock.slept == [2] * waits
