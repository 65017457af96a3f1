"""Which way root runs PostgreSQL, with an `unshare` and a `setpriv` of the test's own."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import pytest

from penstock.embedded import unprivileged
from penstock.embedded.unprivileged import CAPABILITY, NAMESPACE, NOBODY, Way, way_to_run
from penstock.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path

#: Does what it is asked to, with what follows the "--".
WORKS = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'
FORBIDDEN = "echo 'unshare failed: Operation not permitted' >&2; exit 1"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where root finds its tools."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return folder


@pytest.fixture
def postgres(tmp_path: Path) -> Path:
    return script(tmp_path / "postgres", '[ "$1" = --version ]')


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_who_is_not_root_runs_it_as_it_is(monkeypatch: pytest.MonkeyPatch, postgres: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    assert way_to_run(postgres) == Way((), 1234)


def test_root_takes_a_user_namespace(tools: Path, postgres: Path) -> None:
    script(tools / "unshare", WORKS)
    script(tools / "setpriv", WORKS)
    assert way_to_run(postgres) == Way((str(tools / "unshare"), *NAMESPACE.words[1:]), 0)


@pytest.mark.parametrize("unshare", [FORBIDDEN, None])
def test_root_becomes_nobody_where_namespaces_are_forbidden(tools: Path, postgres: Path, unshare: str | None) -> None:
    if unshare is not None:
        script(tools / "unshare", unshare)
    script(tools / "setpriv", WORKS)
    assert way_to_run(postgres) == Way((str(tools / "setpriv"), *CAPABILITY.words[1:]), NOBODY)


def test_a_way_that_does_not_get_as_far_as_the_program_is_none(tools: Path, postgres: Path) -> None:
    script(tools / "unshare", f"[ $3 = -- ] && [ $4 != {shlex.quote(str(postgres))} ]")
    script(tools / "setpriv", WORKS)
    assert way_to_run(postgres).owner == NOBODY


def test_where_root_cannot_be_nobody_one_line_says_what_to_do(tools: Path, postgres: Path) -> None:
    script(tools / "unshare", FORBIDDEN)
    with pytest.raises(StackError, match=r"^PostgreSQL refuses to run as root, .*: run it as another user$"):
        way_to_run(postgres)


def test_the_top_of_a_folder_is_given_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Path] = []
    monkeypatch.setattr(unprivileged.os, "chown", lambda path, *_, **__: given.append(path))
    top = tmp_path / "data"
    (top / "base" / "1").mkdir(parents=True)
    (top / "base" / "1" / "file").touch()
    Way((), top.stat().st_uid + 1).give(top)
    assert sorted(given) == sorted([*top.rglob("*"), top])
    assert given[-1] == top


def test_what_is_the_owners_already_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged.os, "chown", lambda *_, **__: pytest.fail("changed"))
    Way((), tmp_path.stat().st_uid).give(tmp_path)
