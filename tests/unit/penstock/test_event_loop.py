"""Which event loop a worker runs on."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import TYPE_CHECKING

import pytest
import uvloop

from penstock import event_loop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Each test here sets the garbage collector of its process, which others go on in."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


async def loops_found(found: list[asyncio.AbstractEventLoop]) -> int:
    found.append(asyncio.get_running_loop())
    return 3


def test_it_is_uvloop_s_where_that_is_installed() -> None:
    found: list[asyncio.AbstractEventLoop] = []
    assert event_loop.run(loops_found(found)) == 3
    assert isinstance(found[0], uvloop.Loop)


def test_it_is_asyncio_s_own_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    found: list[asyncio.AbstractEventLoop] = []
    assert event_loop.run(loops_found(found)) == 3
    assert isinstance(found[0], asyncio.SelectorEventLoop)
