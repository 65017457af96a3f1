"""What one run came to, and what many runs say together."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What two contenders are compared by: messages a second, or microseconds of the processor a message.
Quantity = Literal["rate", "cpu_us"]


@dataclass(frozen=True)
class Run:
    """One contender's turn. Seconds from the first delivery to the last message settled; memory at its peak."""

    messages: int
    seconds: float
    cpu_seconds: float | None = None
    rss_mb: float | None = None
    #: What all processes of the machine used meanwhile, servers included.
    machine_seconds: float | None = None

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_us(self) -> float | None:
        """Microseconds of the processor a message."""
        return None if self.cpu_seconds is None else 1e6 * self.cpu_seconds / self.messages

    @property
    def machine_us(self) -> float | None:
        """Microseconds of all processors a message, servers included."""
        return None if self.machine_seconds is None else 1e6 * self.machine_seconds / self.messages


@dataclass(frozen=True)
class Ratio:
    """How many times one contender's figure is the other's."""

    name: str
    over: str
    under: str
    quantity: Quantity = "rate"


def paired(ratio: Ratio, runs: Mapping[str, Sequence[Run]]) -> float | None:
    """The median of the ratios of each round; None where either did not run, or does not know.

    Round by round, so that a machine whose speed drifts changes both sides of each ratio alike.
    """
    pairs = zip(runs.get(ratio.over, ()), runs.get(ratio.under, ()), strict=False)
    figures = [(getattr(over, ratio.quantity), getattr(under, ratio.quantity)) for over, under in pairs]
    known = [over / under for over, under in figures if over is not None and under]
    return median(known) if known else None


def middle(runs: Sequence[Run], name: str) -> float | None:
    """The median of what all runs say of a thing they know."""
    known = [value for run in runs if (value := getattr(run, name)) is not None]
    return median(known) if known else None
