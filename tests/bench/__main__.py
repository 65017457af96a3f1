"""`make bench`: measures everything in turn, and ends with one line of JSON on standard output."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from bench import report
from bench.processes import installed
from bench.registry import chosen
from bench.scale import FULL, QUICK
from bench.servers import Servers

#: Where results go; never committed.
RESULTS = Path(".cache") / "bench"


def main(names: list[str]) -> None:
    """Measure the groups of these names, or the usual ones."""
    quick = os.environ.get("QUICK", "0") not in {"", "0"}
    scale = QUICK if quick else FULL
    makers = chosen(names, quick=quick)
    started = time.time()
    found = report.Findings(quick=quick, started=started)
    if found.load > 1:
        report.say(f"others are at work here (load {found.load:.1f}): of these figures the ratios alone say something")
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as site, Servers() as servers:
        environment = installed(Path(site))
        for group in (group for make in makers for group in make(servers, scale, environment)):
            report.title(group.name, time.time() - started)
            try:
                found.add(group.run(report.line))
            except Exception as error:  # noqa: BLE001 - one that fails does not keep the others from being measured
                found.failed[group.name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
                report.say(f"  failed: {found.failed[group.name]}")
    folder = RESULTS / time.strftime("%Y%m%d-%H%M%S", time.gmtime(started))
    report.show(found)
    report.write(found, folder)
    report.say(f"{time.time() - started:.0f} s; chart and figures in {folder}")
    print(json.dumps(found.summary()))  # noqa: T201 - the result
    if found.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
