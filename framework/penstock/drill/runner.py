"""Run drills one after the other; one that fails does not keep the others from running."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from penstock.drill.grounds import Grounds
from penstock.drill.report import line
from penstock.drill.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.drill.definition import Drill, Scale
    from penstock.drill.report import Result


def run(drills: Sequence[Drill], scale: Scale, say: Callable[[str], None]) -> dict[str, Result]:
    """Run the drills on servers of their own, which are ended at the end; by name, what each found.

    `say` prints a line for people.
    """
    with Grounds() as grounds:
        return {drill.name: told(drill, say, lambda one: run_one(one, grounds, scale, say)) for drill in drills}


def run_one(drill: Drill, grounds: Grounds, scale: Scale, say: Callable[[str], None]) -> Result:
    """Run one drill: what it found, or why it came to no end, in one line."""
    try:
        with Scene(grounds, scale, lambda text: say(f"  {drill.name}: {text}")) as scene:
            return drill.run(scene)
    except Exception as error:  # noqa: BLE001 whatever ends a drill is its result
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def told(drill: Drill, say: Callable[[str], None], act: Callable[[Drill], Result]) -> Result:
    """Run one drill, and say so before and after."""
    say(f"{drill.name}: {drill.title}")
    started = time.monotonic()
    result = act(drill)
    say(f"{line(drill.name, result)} ({time.monotonic() - started:.0f} s)")
    return result
