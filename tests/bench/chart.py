"""The chart: how fast each contender was, what it cost, and the ratios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.measured import middle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from bench.measured import Run

#: Inches of a bar, and of what stands above and below the bars.
BAR, REST = 0.28, 1.6
OURS, OTHERS = "#1b6ca8", "#b8b8b8"
#: How the names of our own contenders begin; all others are peers or limits.
OUR_NAMES = ("receive", "table", "graph", "publish", "replay", "spill", "development", "growth", "lone")
THEIR_NAMES = (
    "graph_unwind",
    "graph_plain_unwind",
    "graph_one_write",
    "publish_aio_pika",
    "development_aio_pika",
)


def draw(runs: Mapping[str, Sequence[Run]], ratios: Mapping[str, float], file: Path) -> None:
    """Write the chart as PNG: rates with their span, CPU a message, ratios."""
    height = REST + BAR * max(len(runs), len(ratios), 4)
    figure = Figure(figsize=(17, height), layout="constrained")
    FigureCanvasAgg(figure)
    speed, cost, compared = figure.subplots(1, 3)
    rates = {name: middle(found, "rate") or 0.0 for name, found in runs.items()}
    spans = [[run.rate for run in found] for found in runs.values()]
    _bars(speed, rates, "messages/s", [max(span) for span in spans])
    for place, span in enumerate(spans):
        speed.plot([min(span), max(span)], [place, place], color="black", linewidth=1.2)
    cpu = {name: value for name, found in runs.items() if (value := middle(found, "cpu_us")) is not None}
    _bars(cost, cpu, "CPU µs/message (log)")
    _bars(compared, ratios, "ratio (log)")
    if cpu:
        cost.set_xscale("log")
    if ratios:
        compared.set_xscale("log")
        compared.axvline(1, color="black", linewidth=0.8)
    figure.savefig(file, dpi=110)


def _bars(axes: Axes, values: Mapping[str, float], label: str, ends: Sequence[float] | None = None) -> None:
    """A bar for each name; its number stands at its end, or right of what else ends there."""
    names = list(values)
    colours = [OURS if "_vs_" in name or _is_ours(name) else OTHERS for name in names]
    axes.barh(range(len(names)), list(values.values()), color=colours)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.margins(x=0.12)
    for place, (value, end) in enumerate(zip(values.values(), ends or values.values(), strict=True)):
        text = f" {value:,.0f}" if value >= 100 else f" {value:.2f}"
        axes.annotate(text, (end, place), va="center", fontsize=8)


def _is_ours(name: str) -> bool:
    return name.startswith(OUR_NAMES) and name not in THEIR_NAMES
