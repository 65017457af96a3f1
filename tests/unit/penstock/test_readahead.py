"""Reading ahead in a thread."""

from __future__ import annotations

import threading
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.readahead import ROOM, read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


@given(st.integers(0, 3 * ROOM))
async def test_everything_comes_in_order(count: int) -> None:
    assert [item async for item in read_ahead(range(count))] == list(range(count))


async def test_an_item_is_there_before_the_next_is_read() -> None:
    may_go_on = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        may_go_on.wait()
        yield 2

    seen = []
    async for item in read_ahead(slow()):
        seen.append(item)
        may_go_on.set()
    assert seen == [1, 2]


async def test_a_failure_comes_after_what_was_read_before() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise UsageError("line 2 is no JSON")

    items = read_ahead(broken())
    assert await anext(items) == 1
    with pytest.raises(UsageError, match="line 2"):
        await anext(items)


async def test_who_leaves_early_ends_the_reading() -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    async with aclosing(read_ahead(endless())) as items:
        async for _ in items:
            break
    for thread in threading.enumerate():
        if thread.name == "read ahead":
            thread.join(5)
            assert not thread.is_alive()
    assert taken <= ROOM + 3
