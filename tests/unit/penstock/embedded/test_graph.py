"""The graph of the stack, as far as no server is needed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from penstock.embedded.graph import GraphPart
from penstock.embedded.part import Place, environment
from penstock.errors import UsageError
from penstock.settings import Neo4j
from penstock.stores.neo4j_address import Address, Login

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "s3cret:/?#@ %"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, 12345, "root", PASSWORD)


def test_its_url_is_one_that_penstock_reads(place: Place) -> None:
    address = Address.of_settings(Neo4j(url=GraphPart().url(place)))
    assert (address.uri, address.database) == ("bolt://127.0.0.1:12345", "graph")
    assert address.login == Login("root", PASSWORD)


def test_no_password_is_among_its_words_or_variables(place: Place) -> None:
    command = GraphPart().command(place)
    assert PASSWORD not in " ".join(command.words)
    assert PASSWORD not in " ".join(environment(command).values())
    assert PASSWORD not in f"{command} {place}"


def test_every_listener_is_told_to_stay_on_loopback(place: Place) -> None:
    words = GraphPart().command(place).words
    assert [word for word in words if "host" in word.lower()] == [
        "-Darcadedb.bolt.host=127.0.0.1",
        "-Darcadedb.server.httpIncomingHost=127.0.0.1",
    ]
    assert "-Darcadedb.bolt.port=12345" in words


def test_protocols_that_are_not_used_are_not_even_loaded(place: Place) -> None:
    names = [path.rpartition("/")[2] for path in GraphPart().command(place).environment["CLASSPATH"].split(":")]
    assert any(name.startswith("arcadedb-bolt-") for name in names)
    assert any(name.startswith("arcadedb-server-") for name in names)
    assert not [name for name in names if "postgresw" in name or "redisw" in name or "mcp" in name]


def test_without_its_package_it_says_what_to_install(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arcadedb_embedded", None)
    with pytest.raises(UsageError, match=r"arcadedb-embedded.*pip install 'penstock\[embedded\]'"):
        GraphPart().command(place)


def test_preparing_again_leaves_the_data_and_clears_what_was_scratch(place: Place) -> None:
    GraphPart().prepare(place)
    kept, scratch = place.folder / "data" / "kept", place.folder / "tmp" / "scratch"
    kept.touch()
    scratch.touch()
    GraphPart().prepare(place)
    assert kept.exists()
    assert not scratch.exists()


def test_the_file_with_the_password_is_its_owners_alone(place: Place) -> None:
    (place.folder / "password").write_text("an older one")
    GraphPart().prepare(place)
    password = place.folder / "password"
    assert password.read_text() == PASSWORD
    assert password.stat().st_mode & 0o777 == 0o600
