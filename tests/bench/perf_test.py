"""RabbitMQ PerfTest, consuming only: the broker's own limit."""

from __future__ import annotations

import re
import subprocess

from bench.measured import Run
from bench.peers.peer import PREFETCH
from penstock.drill.servers.jars import archives, find_java

VERSION = "2.22.1"
#: Seconds a run may take.
LIMIT = 600
#: Its own sum at the end, from its first second to its last.
AVERAGE = re.compile(r"receiving rate avg: (?P<rate>[\d.]+) msg/s")


def run(url: str, queue: str, messages: int) -> Run:
    """Consume so many messages as our runtime does: the same prefetch, one ack for many.

    Its processor's time is not told: most of it is Java's own start.
    """
    words = ["--uri", url, "--producers", "0", "--consumers", "1", "--predeclared", "--queue", queue]
    words += ["--qos", str(PREFETCH), "--multi-ack-every", str(PREFETCH // 4), "--cmessages", str(messages)]
    done = subprocess.run(
        [
            find_java(),
            "-cp",
            f"{archives('com.rabbitmq', 'perf-test', VERSION)}/*",
            "com.rabbitmq.perf.PerfTest",
            *words,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    found = AVERAGE.search(done.stdout)
    if done.returncode or found is None or not float(found["rate"]):
        raise RuntimeError(f"PerfTest ended with {done.returncode}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return Run(messages, messages / float(found["rate"]))
