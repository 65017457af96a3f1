"""compose for real, where a Docker engine answers: `make up`, then servers are stopped and started as operators do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from penstock.drill.installation import INHERITED, Installation
from penstock.drill.servers.container import engine_answers
from penstock.drill.servers.wait import wait_until
from support import compose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Not the name of the user's own.
PROJECT = "penstock-drill"
NAME = "discogs-table"
RECORDS = 20_000
#: Seconds for images to be fetched and built, on a slow line.
UP = 1800


@pytest.fixture(scope="module")
def up() -> Iterator[None]:
    """The profile core, by `make up`; at the end nothing of it is left, its data included."""
    if not engine_answers():
        pytest.skip("no Docker engine answers; tests/deploy/test_image.py and test_compose_failover.py do without")
    variables = compose.FOLDER / ".env"
    before = variables.read_text() if variables.exists() else None
    try:
        run("make", "up", "PROFILES=core", seconds=UP)
        yield
    finally:
        docker("down", "--volumes", seconds=300)
        if before is None:
            variables.unlink(missing_ok=True)
        else:
            variables.write_text(before)


def run(*words: str, seconds: float = 120) -> str:
    """Run a command to a good end, for the drill's own project; its standard output."""
    return compose.run_well(words, (*INHERITED, "DOCKER_HOST"), seconds=seconds, COMPOSE_PROJECT_NAME=PROJECT)


def docker(*words: str, seconds: float = 120) -> str:
    return run("docker", "compose", "--file", "compose/compose.yaml", *words, seconds=seconds)


def rows() -> int:
    question = "SELECT count(*) FROM artists"
    words = ("--no-psqlrc", "--tuples-only", "--no-align", "--dbname=penstock", f"--command={question}")
    return int(docker("exec", "-T", "postgres", "psql", *words))


def queues() -> dict[str, int]:
    """How many messages each queue has, those that are held included."""
    words = ("rabbitmqctl", "--quiet", "--formatter=json", "list_queues", "name", "messages")
    return {queue["name"]: queue["messages"] for queue in json.loads(docker("exec", "-T", "rabbitmq", *words))}


def publish(before: int, folder: Path) -> None:
    """So many records, after those that were published before: their ids begin at 1."""
    records = folder / f"artists-{before}.jsonl"
    artists = ({"type": "artist", "id": str(n), "name": f"artist {n}"} for n in range(before + 1, before + RECORDS + 1))
    records.write_text("".join(f"{json.dumps(artist)}\n" for artist in artists))
    password = compose.FOLDER / ".secrets" / "rabbitmq-password"
    settings = {"RABBITMQ_USERNAME": "penstock", "RABBITMQ_PASSWORD_FILE": str(password)}
    Installation(settings).done("publish", "jsonl", records, "--exchange", "discogs", "--routing-key", "artist")


@pytest.mark.usefixtures("up")
def test_postgres_is_stopped_and_started_and_nothing_is_lost(tmp_path: Path) -> None:
    publish(0, tmp_path)
    docker("stop", "postgres")
    publish(RECORDS, tmp_path)
    wait_until(lambda: '"paused"' in docker("logs", "--no-log-prefix", NAME), 120, "the worker has paused")
    docker("start", "postgres")
    wait_until(lambda: queues()[NAME] == 0, 300, "the queue is empty")
    assert rows() == 2 * RECORDS
    assert queues()[f"{NAME}.dlq"] == 0


@pytest.mark.usefixtures("up")
def test_a_worker_is_stopped_under_load_and_the_next_goes_on(tmp_path: Path) -> None:
    publish(2 * RECORDS, tmp_path)
    docker("stop", NAME)
    [stopped] = docker("ps", "--all", "--quiet", NAME).split()
    assert run("docker", "inspect", "--format", "{{.State.ExitCode}}", stopped).strip() == "0"
    publish(3 * RECORDS, tmp_path)
    docker("start", NAME)
    wait_until(lambda: queues()[NAME] == 0, 300, "the queue is empty")
    assert rows() == 4 * RECORDS


@pytest.mark.usefixtures("up")
def test_down_keeps_the_data() -> None:
    before = rows()
    run("make", "down", seconds=300)
    run("make", "up", "PROFILES=core", seconds=UP)
    assert rows() == before
