"""Contenders that are compared with one another, and how they take their turns."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bench.measured import paired

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.measured import Ratio, Run

    Say = Callable[[str, Run], None]


@dataclass(frozen=True)
class Found:
    """What a group came to: runs by contender in the order of the rounds, ratios, and figures that are neither."""

    runs: Mapping[str, Sequence[Run]] = field(default_factory=dict)
    ratios: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)


class Measurable(Protocol):
    """Something with a name that can be measured."""

    @property
    def name(self) -> str:
        """What people see."""

    def run(self, say: Say) -> Found:
        """Measure it, and say of each run what it came to."""


@dataclass(frozen=True)
class Group:
    """Contenders by name. Each prepares what it needs, which is not measured, and runs once when it is called."""

    name: str
    contenders: Mapping[str, Callable[[], Run]]
    rounds: int
    ratios: Sequence[Ratio] = ()
    #: Called once before the first round.
    prepare: Callable[[], None] = field(default=lambda: None)
    #: Rounds before, which are not counted: a server in Java is slow until it has compiled what it runs often.
    warming: int = 0

    def run(self, say: Say) -> Found:
        """All contenders in turn, round after round: A B C, A B C."""
        self.prepare()
        runs: dict[str, list[Run]] = defaultdict(list)
        for number in range(-self.warming, self.rounds):
            for name, contend in self.contenders.items():
                run = contend()
                say(f"({name})" if number < 0 else name, run)
                if number >= 0:
                    runs[name].append(run)
        ratios = {ratio.name: paired(ratio, runs) for ratio in self.ratios}
        return Found(dict(runs), {name: ratio for name, ratio in ratios.items() if ratio is not None})
