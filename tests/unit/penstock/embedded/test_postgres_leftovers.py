"""What a killed PostgreSQL leaves behind, with programs of the same name in its place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.embedded import postgres_leftovers
from penstock.embedded.postgres_leftovers import clear_leftovers
from penstock.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What a shell starts in the background ignores SIGQUIT, and so would all that the tests start.
READY = "import signal; signal.signal(signal.SIGQUIT, signal.SIG_{}); print('ready', flush=True); signal.pause()"
OBEDIENT, STUBBORN = READY.format("DFL"), READY.format("IGN")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a program in a folder; it is called postgres, or something else."""
    started = []

    def _start(folder: Path, name: str = "postgres", text: str = OBEDIENT) -> subprocess.Popen[str]:
        program = tmp_path / name
        if not program.exists():
            program.symlink_to(Path(sys.executable).resolve())
        process = subprocess.Popen([program, "-S", "-c", text], cwd=folder, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield _start
    for process in started:
        process.kill()
        process.communicate()


def write_pid(data: Path, pid: int) -> Path:
    file = data / "postmaster.pid"
    file.write_text(f"{pid}\n{data}\n1700000000\n")
    return file


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_server_that_runs_is_told_and_left_alone(data: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    server = start(data)
    file = write_pid(data, server.pid)
    with pytest.raises(StackError, match=f"runs in {data} already, as process {server.pid}: .*kill -INT {server.pid}"):
        clear_leftovers(data)
    assert server.poll() is None
    assert file.exists()


def test_orphans_of_a_killed_server_are_ended(data: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    orphan = start(data)
    elsewhere = start(data.parent)
    other = start(data, "psql")
    file = write_pid(data, dead_pid())
    clear_leftovers(data)
    assert orphan.wait(10) == -signal.SIGQUIT
    assert (elsewhere.poll(), other.poll()) == (None, None)
    # PostgreSQL copes with a dead server's file, and reads more in it than the pid.
    assert file.exists()


def test_an_orphan_that_does_not_end_is_told(
    data: Path, start: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_leftovers, "END_SECONDS", 0.1)
    orphan = start(data, text=STUBBORN)
    with pytest.raises(StackError, match=f"still use {data}: end them with kill -9 {orphan.pid}$"):
        clear_leftovers(data)


def test_another_program_that_has_the_pid_now_is_not_taken_for_the_server(
    data: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    other = start(data, "another")
    file = write_pid(data, other.pid)
    clear_leftovers(data)
    assert not file.exists()
    assert other.poll() is None


def test_nor_is_a_postgresql_of_another_folder(data: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    other = start(data.parent)
    file = write_pid(data, other.pid)
    clear_leftovers(data)
    assert not file.exists()
    assert other.poll() is None


@pytest.mark.parametrize("text", ["", "\n", "no pid\n"])
def test_a_file_without_a_pid_is_removed(data: Path, text: str) -> None:
    file = data / "postmaster.pid"
    file.write_text(text)
    clear_leftovers(data)
    assert not file.exists()


def test_a_clean_folder_is_left_as_it_is(data: Path) -> None:
    (data / "PG_VERSION").write_text("18\n")
    clear_leftovers(data)
    assert os.listdir(data) == ["PG_VERSION"]  # noqa: PTH208 the names are the point
