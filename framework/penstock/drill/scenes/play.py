"""The usual course of a drill: load, a fault in the middle of it, the rest of the load, and the count."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from penstock.drill.definition import Tally
    from penstock.drill.scene import Scene
    from penstock.drill.servers import Server
    from penstock.drill.servers.choose import Kind

#: The share of the messages that is written before the bulk is published, and the share that follows the fault.
BEFORE = 0.1
AFTER = 0.1


def play(
    scene: Scene,
    fault: Callable[[], float],
    *,
    over: float,
    sinks: Sequence[str] | None = None,
    server: Kind | None = None,
) -> Tally:
    """Run the workers under load through a fault, and count.

    `fault` breaks something, waits, mends it, and returns when it began to mend it, in seconds of the monotonic
    clock. The bulk of the messages is published evenly over `over` seconds, from just before the fault; the last
    ones follow once it is mended. `sinks` are those that were away, or `server` if it was not the sinks themselves.
    """
    scene.workers(*scene.names)
    load(scene, over)
    since = fault()
    finish(scene)
    return scene.tally(since=since, sinks=sinks, server=server)


def load(scene: Scene, over: float) -> None:
    """Have the first messages written, and go on publishing in the background: the bulk, over so many seconds."""
    first = int(scene.messages * BEFORE)
    scene.publishing.start(range(first))
    scene.wait_written(first)
    scene.publishing.wait()
    scene.publishing.start(range(first, _last(scene)), over)
    scene.wait_written(first + 1)


def finish(scene: Scene, *, ordered: bool = True) -> None:
    """Wait for the bulk, publish the rest, and wait until all is written."""
    scene.publishing.wait()
    scene.publishing.start(range(_last(scene), scene.messages))
    scene.publishing.wait()
    assert len(scene.publishing.safe()) == scene.messages
    scene.settle(ordered=ordered)


def _last(scene: Scene) -> int:
    return int(scene.messages * (1 - AFTER))


def away(seconds: float, down: Callable[[Server], None], up: Callable[[Server], None], *servers: Server) -> float:
    """Take servers down all at the same time and, so many seconds later, bring them up; when that began."""
    together(*(partial(down, server) for server in servers))
    time.sleep(seconds)
    since = time.monotonic()
    together(*(partial(up, server) for server in servers))
    return since


def stop(server: Server) -> None:
    """Stop it cleanly."""
    server.stop()


def kill(server: Server) -> None:
    """kill -9."""
    server.kill()


def freeze(server: Server) -> None:
    """Stop it in its tracks."""
    server.freeze()


def thaw(server: Server) -> None:
    """Let it go on."""
    server.thaw()


def start(server: Server) -> None:
    """Start it, and wait until it answers."""
    server.start()


def during(seconds: float, *faults: AbstractContextManager[object]) -> float:
    """Have the faults last so many seconds; when their end began, in seconds of the monotonic clock.

    They end one after the other, the last one first: name the one last whose end takes no time.
    """
    with ExitStack() as lasting:
        for fault in faults:
            lasting.enter_context(fault)
        time.sleep(seconds)
        return time.monotonic()


def together(*actions: Callable[[], object]) -> None:
    """Do all that at the same time; raises what one of them raises."""
    with ThreadPoolExecutor(len(actions)) as threads:
        for done in [threads.submit(action) for action in actions]:
            done.result()
