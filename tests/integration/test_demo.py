"""`penstock demo`, as its users run it: to its end, kept, interrupted, killed."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from integration.discogs_counts import TABLES, Graph, demo_result, graph_of
from penstock.discovery import load_demo
from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until
from support import broker, stores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.drill.installation import Process


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """The user's data folder for Penstock; whatever a failed test leaves there is ended."""
    folder = tmp_path / "data" / "penstock"
    yield folder
    if (folder / "demo").exists():
        Installation({}).penstock("stack", "--folder", folder / "demo", "down", "--remove")


@pytest.fixture
def penstock(data: Path) -> Installation:
    """Commands of a user who has settings of other servers, which a demo must leave alone."""
    others = {
        "POSTGRES_URL": "postgresql://127.0.0.1:1/production",
        "PENSTOCK_BATCH__COUNT": "1",
        "PGSSLMODE": "require",
    }
    return Installation({"XDG_DATA_HOME": str(data.parent), **others})


@pytest.fixture
def running(penstock: Installation) -> Iterator[Process]:
    """A demo that has just been started."""
    with penstock.start("demo") as process:
        yield process


def result_of(output: str) -> dict[str, Any]:
    """The last line, but for its seconds, which must be few enough."""
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    assert 0 < result.pop("seconds") < 90
    return result


def outage_was_seen(story: str) -> None:
    """Fails if the table worker was not seen paused, holding messages, while the graph worker went on."""
    order = [
        r"4/5 stopping PostgreSQL",
        r"\(PostgreSQL is down\).*discogs-table: breaker open, paused, held [1-9].*discogs-graph: breaker closed,",
        r"PostgreSQL is up again",
        r"discogs-table: breaker closed, held ",
        r"discogs-table has recovered by itself",
        r"5/5 publishing all",
        r"nothing changed: each worker knew all",
    ]
    position = 0
    for pattern in order:
        found = re.compile(pattern).search(story, position)
        assert found, f"not seen, or not in this order: {pattern}\n{story}"
        position = found.end()


def nothing_is_left(data: Path) -> None:
    """Fails if a process has anything to do with the folder, or the folder holds anything."""
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            about = [*process.cmdline(), *process.environ().values(), process.cwd()]
            if any(str(data) in text or str(data.parent) in text for text in about):
                left.append(process)
    assert left == []
    assert list(data.iterdir()) == []


def wait_for(process: Process, text: str) -> None:
    """Wait until the story has come to some words."""
    wait_until(lambda: text in process.output() or not process.running, 60, f"{text}\n{process.output()}")
    assert text in process.output()


async def test_the_sample_kept_and_looked_at_and_then_another_demo(penstock: Installation, data: Path) -> None:
    sample = load_demo("discogs").sample
    wanted = demo_result(sample)
    count = sum(wanted["published"].values())

    kept = penstock.penstock("demo", "--keep")
    assert kept.returncode == 0, kept.stdout + kept.stderr
    assert result_of(kept.stdout) == wanted
    outage_was_seen(kept.stderr)
    await stores_hold(environment(penstock, data), graph_of(sample))
    for name in ("discogs-table", "discogs-graph"):
        assert await broker.depth(environment(penstock, data)["RABBITMQ_URL"], f"{name}.dlq") == 0
        [address] = re.findall(rf"{name} answers at (http\S+)/health", kept.stderr)
        outcomes = outcomes_at(address)
        assert (outcomes["written"], outcomes["duplicate"]) == (count, count)
    [advice] = re.findall(r"to end it all: penstock (.*)", kept.stderr)
    assert shlex.split(advice) == ["stack", "--folder", str(data / "demo"), "down", "--remove"]

    again = penstock.penstock("demo")
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"an earlier demo was killed or kept: what it left in {data}/demo is ended and removed" in again.stderr
    assert result_of(again.stdout) == wanted
    outage_was_seen(again.stderr)
    nothing_is_left(data)


def environment(penstock: Installation, data: Path) -> dict[str, str]:
    """What `eval "$(penstock stack env)"` would set."""
    lines = map(shlex.split, penstock.done("stack", "--folder", data / "demo", "env").splitlines())
    return dict(words[1].split("=", 1) for words in lines if words[0] == "export")


async def stores_hold(urls: dict[str, str], wanted: Graph) -> None:
    records = Counter(TABLES[label] for label, _ in wanted.records)
    assert await stores.discogs_rows(urls["POSTGRES_URL"]) == records
    assert stores.nodes(urls["NEO4J_URL"]) == wanted.nodes
    assert stores.edges(urls["NEO4J_URL"]) == wanted.edges


def outcomes_at(address: str) -> dict[str, int]:
    """What a worker counted, which must be well."""
    assert httpx.get(f"{address}/health").json()["status"] == "ok"
    return {
        sample.labels["outcome"]: int(sample.value)
        for family in text_string_to_metric_families(httpx.get(f"{address}/metrics").text)
        for sample in family.samples
        if sample.name == "penstock_outcomes_total"
    }


def test_records_of_ones_own(penstock: Installation, sample_data: Path, data: Path) -> None:
    done = penstock.penstock("demo", "--input", sample_data / "discogs")
    assert done.returncode == 0, done.stdout + done.stderr
    result = result_of(done.stdout)
    assert result == demo_result(sample_data / "discogs")
    # What ../shared/data/README.md says.
    assert sum(result["rows"].values()) == 1600
    assert sum(result["nodes"].values()) == 3856
    assert sum(result["edges"].values()) == 5050
    outage_was_seen(done.stderr)
    nothing_is_left(data)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGTERM, "1/5 starting"),
        (signal.SIGHUP, "2/5 starting"),
        (signal.SIGINT, "pauses and holds"),
    ],
)
def test_interrupted_it_leaves_nothing(running: Process, data: Path, number: signal.Signals, words: str) -> None:
    wait_for(running, words)
    running.signal(number)
    assert running.wait(90) == 128 + number, running.output()
    assert running.output().count("interrupted: ending everything") == 1
    nothing_is_left(data)


def test_another_one_is_refused_meanwhile_and_does_no_harm(
    penstock: Installation, running: Process, data: Path
) -> None:
    wait_for(running, "1/5 starting")
    # Stopped it cannot come to its end meanwhile.
    running.signal(signal.SIGSTOP)
    second = penstock.penstock("demo")
    assert second.returncode == 1
    assert second.stderr == f"penstock: another demo is running, in {data}: wait for its end, or end it by Ctrl-C\n"
    running.signal(signal.SIGTERM)
    running.signal(signal.SIGCONT)
    assert running.wait(90) == 128 + signal.SIGTERM, running.output()
    nothing_is_left(data)


def test_what_a_killed_one_left_can_be_ended_as_a_stack(penstock: Installation, running: Process, data: Path) -> None:
    wait_for(running, "discogs-graph: breaker closed")
    running.kill()
    with pytest.raises(AssertionError):
        nothing_is_left(data)
    penstock.done("stack", "--folder", data / "demo", "down", "--remove")
    nothing_is_left(data)


def test_a_worker_that_dies_is_told_with_the_ends_of_the_logs(running: Process, data: Path) -> None:
    wait_for(running, "discogs-graph: breaker closed")
    pid = json.loads((data / "demo" / "discogs-graph.pid").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    assert running.wait(90) == 1, running.output()
    lines = running.output().splitlines()
    assert lines[-1] == "penstock: the worker discogs-graph ended by itself, with exit code -9"
    assert any(line.startswith('penstock: discogs-graph: {"') for line in lines)
    assert any(line.startswith("penstock: postgres: ") for line in lines)
    nothing_is_left(data)
