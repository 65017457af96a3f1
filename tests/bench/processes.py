"""Runs of processes: a peer that tells what it measured, and a worker of ours as its users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.measured import Run
from bench.meter import machine_seconds, peak_megabytes
from bench.watched import EXPECTED, NOTES
from bench.workers import CROWD, GRAPH, ROWS
from penstock.drill.installation import INHERITED, Installation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.drill.installation import Process

TESTS = Path(__file__).parents[1]
#: Seconds a run may take.
LIMIT = 1800
#: Seconds between two looks at a worker that is measured.
LOOK = 0.002
ENTRY_POINTS = {ROWS: "rows", GRAPH: "graph"} | {name: name.replace("-", "_") for name in CROWD}


def installed(folder: Path) -> dict[str, str]:
    """What makes `penstock run` find our workers: a package's metadata in a folder of the path, nothing installed."""
    metadata = folder / "penstock_bench-0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: penstock-bench\nVersion: 0\n", encoding="utf-8")
    offered = "".join(f"{name} = bench.workers:{attribute}\n" for name, attribute in ENTRY_POINTS.items())
    (metadata / "entry_points.txt").write_text(f"[penstock.drills]\n{offered}", encoding="utf-8")
    return {"PYTHONPATH": f"{TESTS}{os.pathsep}{folder}"}


def peer_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """All that a peer's process gets: what the machine needs, and the addresses of the servers."""
    return {**{name: os.environ[name] for name in INHERITED if name in os.environ}, **environment}


def run_peer(module: str, queue: str, messages: int, environment: Mapping[str, str]) -> Run:
    """Run a peer to its end. Raises RuntimeError with what it said, where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", f"bench.peers.{module}", queue, str(messages)],
        env=peer_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr[-2000:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def run_worker(name: str, messages: int, environment: Mapping[str, str]) -> Run:
    """Run a worker until it has written and settled so many messages, then stop it."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        notes = Path(folder) / "notes"
        watch = {NOTES: str(notes), EXPECTED: str(messages)}
        with Installation({**environment, **watch}).start("run", name) as process:
            told = psutil.Process(process.pid)
            process.get("/livez")  # so that the first question at the end finds its answer prepared
            _await(lambda: notes.exists() and '"written"' in notes.read_text(encoding="utf-8"), process)
            _await(lambda: settled(process) >= messages, process)
            at, times, peak = time.monotonic(), told.cpu_times(), peak_megabytes(process.pid)
            machine = machine_seconds()
            _check(process, messages)
        ready = json.loads(notes.read_text(encoding="utf-8").splitlines()[0])
    cpu = times.user + times.system - ready["cpu_seconds"]
    return Run(messages, at - ready["at"], cpu, peak, machine - ready["machine_seconds"])


def settled(process: Process) -> float:
    """How many messages a worker has settled."""
    return process.metric("penstock_settled_messages_total")


def _await(condition: Callable[[], bool], process: Process) -> None:
    """Look often: some runs take half a second. Raises RuntimeError where the worker ends, or takes too long."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        if not process.running or time.monotonic() > deadline:
            raise RuntimeError(f"the worker does not get there: {process.output()[-2000:]}")
        time.sleep(LOOK)


def _check(process: Process, messages: int) -> None:
    """Stop it; it must have settled every message once, and refused none."""
    process.stop()
    counts = process.last_event("worker_stopped")
    done = counts["written"] + counts["duplicate"]
    if done != messages or counts["dead_lettered"]:
        raise RuntimeError(f"{messages} messages came to {counts}")
