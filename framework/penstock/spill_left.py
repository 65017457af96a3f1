"""What workers have left in their spill, drained by somebody else: a command, a timer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.clock import SystemClock
from penstock.errors import JournalHeld, SinkUnavailable
from penstock.process import WorkerProcess
from penstock.publish_link import PublishLink
from penstock.spill_drain import publish_page
from penstock.spill_look import look
from penstock.spill_store import folder_of, open_left

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.settings import Settings
    from penstock.spill_store import SpillStore
    from penstock.worker import Worker


async def drain_to_sink(worker: Worker, settings: Settings) -> int:
    """Write what is in the free files of a worker's spill to its sink, as the worker would; how many records.

    Waits through an outage, but not for one at the start. Raises SinkUnavailable, FuseBlown; SettingsError,
    JournalError; and JournalHeld where another process holds the rest.
    """
    if _is_empty(worker, settings):
        return 0
    process = WorkerProcess(worker, settings, SystemClock())

    async def page(store: SpillStore) -> None:
        try:
            await process.spill_drain.page(store)
        except SinkUnavailable:
            await process.writer.recover()

    try:
        await process.open_sink(give_up=True)
        return await _drain(worker, settings, page)
    finally:
        await process.close()


async def drain_to_queue(worker: Worker, settings: Settings) -> int:
    """Publish what is in the free files of a worker's spill back to its queue, confirmed; how many records.

    Raises LinkError; SettingsError, JournalError; and JournalHeld where another process holds the rest.
    """
    if _is_empty(worker, settings):
        return 0
    publisher = PublishLink(settings.rabbitmq, worker.name)

    async def page(store: SpillStore) -> None:
        await publish_page(store, publisher, worker.queue, settings.batch.byte_size)

    try:
        return await _drain(worker, settings, page)
    finally:
        await publisher.close()


def _is_empty(worker: Worker, settings: Settings) -> bool:
    """Whether nothing is to be drained. Raises JournalHeld where all there is belongs to running workers."""
    found = [one for one in look(folder_of(settings.spill), worker.name) if one.pending.records or one.trouble]
    for one in found:
        if one.holder is None:
            return False
    for one in found:
        text = f"the spill {one.file.path} is held by process {one.holder}, with {one.pending.records:,} records"
        raise JournalHeld(f"{text}: that worker drains it itself once its sink answers; to do it here, stop it first")
    return True


async def _drain(worker: Worker, settings: Settings, page: Callable[[SpillStore], Awaitable[None]]) -> int:
    drained = 0
    while (store := await open_left(settings.spill, worker.name, SystemClock())) is not None:
        try:
            drained += store.state.pending.records
            while not store.empty:
                await page(store)
        finally:
            await store.close()
    _is_empty(worker, settings)
    return drained
