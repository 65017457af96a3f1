from __future__ import annotations

from bench.measured import Ratio, Run, middle, paired

#: A machine that gets slower: half as fast in the last round, for both alike.
OURS = [Run(100, 1.0, 0.2), Run(100, 1.25, 0.25), Run(100, 2.0, 0.3)]
THEIRS = [Run(100, 2.0, 0.1), Run(100, 2.0, 0.1), Run(50, 2.0, 0.1)]


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    runs = {"ours": OURS, "theirs": THEIRS}
    assert paired(Ratio("", "ours", "theirs"), runs) == 2.0
    assert paired(Ratio("", "ours", "theirs", "cpu_us"), runs) == 2.0


def test_without_both_there_is_no_ratio() -> None:
    assert paired(Ratio("", "ours", "theirs"), {"ours": OURS}) is None
    unknown = [Run(100, 1.0)] * 3
    assert paired(Ratio("", "ours", "theirs", "cpu_us"), {"ours": OURS, "theirs": unknown}) is None


def test_rates_are_a_second_and_costs_a_message() -> None:
    run = Run(messages=200, seconds=0.5, cpu_seconds=0.01)
    assert (run.rate, run.cpu_us) == (400.0, 50.0)
    assert middle(OURS, "rate") == 80.0
    assert middle(OURS, "rss_mb") is None
