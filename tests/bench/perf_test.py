"""RabbitMQ PerfTest, consuming only: the broker's own limit. Its archives come from Maven Central, once."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.measured import Run
from bench.peers.peer import PREFETCH
from penstock.drill.servers import Unavailable
from penstock.drill.servers.jars import find_java, made_once

VERSION = "2.22.1"
PROJECT = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>penstock</groupId><artifactId>bench</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>com.rabbitmq</groupId><artifactId>perf-test</artifactId><version>{VERSION}</version></dependency>
  </dependencies>
</project>
"""
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
        [find_java(), "-cp", f"{_archives()}/*", "com.rabbitmq.perf.PerfTest", *words],
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


def _archives() -> Path:
    return made_once(f"perf-test-{VERSION}", _download)


def _download(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("PerfTest comes by Maven: run `make servers`, or apt-get install maven")
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        (work / "pom.xml").write_text(PROJECT)
        command = [maven, "-B", "-q", "-C", "-f", work / "pom.xml", f"-Dmaven.repo.local={work / 'repository'}"]
        options = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
        subprocess.run([*map(str, command), *options], check=True, capture_output=True)
