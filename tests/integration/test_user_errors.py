"""Every mistake of a user is one line that names it and how to mend it; no traceback, no password."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.drill.installation import Installation

SECRET = "hunter2-very-secret"


def _with_password(url: str, password: str) -> str:
    # Another user than the tests': Neo4j locks out whoever fails too often.
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"nobody:{password}@{parts.hostname}:{parts.port}"))


def _failure(installation: Installation, *words: str | Path, code: int) -> str:
    """The one line of a command that must fail; log lines before it are its progress."""
    result = installation.penstock(*words, seconds=90)
    assert result.returncode == code, result.stdout + result.stderr
    for text in (result.stdout, result.stderr):
        assert "Traceback" not in text
        assert SECRET not in text
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("variable", "word", "worker"),
    [
        ("RABBITMQ_URL", "RABBITMQ_HOST", "discogs-table"),
        ("POSTGRES_URL", "POSTGRES_HOST", "discogs-table"),
        ("NEO4J_URL", "NEO4J_HOST", "discogs-graph"),
    ],
)
def test_a_wrong_host(penstock: Installation, variable: str, word: str, worker: str) -> None:
    scheme = urlsplit(penstock.environment[variable]).scheme
    wrong = penstock.with_settings(**{variable: f"{scheme}://someone:{SECRET}@127.0.0.1:1/x"}, retry__min=0.05)
    line = _failure(wrong, "run", worker, "--drain", code=1)
    assert "127.0.0.1:1" in line
    assert word in line
    checked = wrong.penstock("check", worker)
    assert checked.returncode == 1
    assert SECRET not in checked.stdout + checked.stderr
    assert "Traceback" not in checked.stderr


@pytest.mark.parametrize(
    ("variable", "words", "worker"),
    [
        ("RABBITMQ_URL", ("RABBITMQ_USERNAME", "RABBITMQ_PASSWORD"), "discogs-table"),
        ("POSTGRES_URL", ("POSTGRES_USERNAME", "POSTGRES_PASSWORD"), "discogs-table"),
        ("NEO4J_URL", ("NEO4J_USERNAME", "NEO4J_PASSWORD"), "discogs-graph"),
    ],
)
def test_a_wrong_password(penstock: Installation, variable: str, words: tuple[str, ...], worker: str) -> None:
    url = _with_password(penstock.environment[variable], SECRET)
    wrong = penstock.with_settings(**{variable: url}, retry__min=0.05)
    line = _failure(wrong, "run", worker, "--drain", code=1)
    assert all(word in line for word in words)


def test_an_unknown_setting(penstock: Installation) -> None:
    line = _failure(penstock.with_settings(batch__cuont=5), "run", "discogs-table", code=2)
    assert "PENSTOCK_BATCH__CUONT" in line
    assert "PENSTOCK_BATCH__COUNT" in line


def test_a_value_that_cannot_be(penstock: Installation) -> None:
    line = _failure(penstock.with_settings(batch__count=-1), "run", "discogs-table", code=2)
    assert "PENSTOCK_BATCH__COUNT" in line


def test_an_unknown_worker(penstock: Installation) -> None:
    assert "discogs-table" in _failure(penstock, "run", "discogs-tabel", code=2)


def test_an_unreadable_file(penstock: Installation, tmp_path: Path) -> None:
    missing = tmp_path / "absent.xml"
    assert "absent.xml" in _failure(penstock, "publish", "discogs", missing, code=2)
    broken = tmp_path / "discogs_20200101_artists.xml"
    broken.write_text("<artists><artist><id>1</id></art")
    assert "discogs_20200101_artists.xml" in _failure(penstock, "publish", "discogs", broken, code=2)
    assert "settings.yaml" in _failure(penstock, "--config", tmp_path / "settings.yaml", "validate", code=2)


def test_a_taken_port(penstock: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = _failure(penstock, "run", "discogs-table", "--port", str(port), code=2)
    assert str(port) in line
    assert "PENSTOCK_HTTP__PORT" in line


def test_a_queue_that_is_otherwise(penstock: Installation) -> None:
    penstock.drain("discogs-table")
    line = _failure(penstock.with_settings(queue__delivery_limit=3), "run", "discogs-table", code=1)
    assert "x-delivery-limit" in line
    assert "discogs-table" in line
