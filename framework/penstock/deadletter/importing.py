"""Letters that were exported, back into a DLQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.deadletter.audit import audited
from penstock.deadletter.letter_json import letter_from_json
from penstock.deadletter.moving import kept_headers
from penstock.deadletter.replaying import ALL, AT_ONCE, sent
from penstock.deadletter.transfer import Parcel, Tally, unseen
from penstock.errors import UsageError
from penstock.jsonl import json_lines
from penstock.publish_link import WINDOW, PublishLink, failures_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from penstock.deadletter.transfer import Report
    from penstock.deadletter.view import Letter
    from penstock.settings import Settings

#: Bytes of bodies that are on their way at one time.
PAGE_BYTES = 16 * 1024 * 1024


def read_letters(stream: BinaryIO, name: str) -> Iterator[Letter]:
    """The letters of JSON lines, as `penstock dlq export` writes them. Raises UsageError, naming file, line, field."""
    for number, _, document in json_lines(stream, name):
        try:
            yield letter_from_json(document)
        except UsageError as error:
            raise UsageError(f"{name}, line {number}: {error}") from error


async def import_letters(
    settings: Settings,
    queue: str,
    letters: Iterable[Letter],
    *,
    report: Report = unseen,
    tally: Tally | None = None,
) -> Tally:
    """Publish letters to a DLQ, in their order, each confirmed; counts in `tally` as it goes.

    Raises UsageError for a letter that no broker could be sent, and LinkError, after all that was sent is settled:
    importing all of it again then gives some of them twice, and their keys make one effect of two.
    """
    tally = tally or Tally(queue)
    publisher = PublishLink(settings.rabbitmq, f"{queue} import")
    size = 0
    try:
        with audited("dead_letters_imported", ALL, tally, settings, AT_ONCE.clock):
            for page in _pages(letters, queue, tally):
                await _publish(publisher, page, tally)
                size += sum(len(parcel.body) for parcel in page)
                report(queue, size, tally.done)
    finally:
        await publisher.close()
    return tally


def _pages(letters: Iterable[Letter], queue: str, tally: Tally) -> Iterator[list[Parcel]]:
    page: list[Parcel] = []
    size = 0
    for letter in letters:
        tally.looked_at += 1
        parcel = sent(letter, queue, kept_headers(letter), letter.body)
        if not isinstance(parcel, Parcel):
            raise UsageError(f"letter {tally.looked_at}: its properties fit in no frame of AMQP")
        tally.matched += 1
        page.append(parcel)
        size += len(parcel.body)
        if len(page) == WINDOW or size >= PAGE_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page


async def _publish(publisher: PublishLink, page: list[Parcel], tally: Tally) -> None:
    failures = await failures_of(publisher.publish("", one.queue, one.body, one.properties) for one in page)
    tally.done += failures.count(None)
    for failure in failures:
        if failure is not None:
            raise failure
