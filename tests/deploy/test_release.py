"""The release recipe: builds, looks, installs, runs the demo, uploads nothing; and each of its looks can fail."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.checkout import BIN, ROOT, done, run

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = ROOT / "workers" / "penstock_workers" / "discogs" / "sample"
COMPARE = (BIN / "python", "-m", "integration.discogs_counts", SAMPLE)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a release, and what the recipe told."""
    folder = tmp_path_factory.mktemp("release")
    done("make", "--silent", "sbom")
    return folder, done(".ci/release", folder, seconds=550)


@pytest.fixture
def wheel(release: tuple[Path, str]) -> Path:
    [found] = release[0].glob("*.whl")
    return found


def tracked(*folders: str) -> Iterator[str]:
    """The files of the checkout below some folders, new ones included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return (name for name in listed.stdout.splitlines() if (ROOT / name).exists())


def test_it_ends_with_files_sums_and_what_publishing_takes(release: tuple[Path, str]) -> None:
    folder, told = release
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "penstock-0.1.0-py3-none-any.whl",
        "penstock-0.1.0.tar.gz",
        "penstock-0.1.0.cdx.json",
        "SHA256SUMS",
    }
    lines = [line.split() for line in (folder / "SHA256SUMS").read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert sums == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names - {"SHA256SUMS"}}
    assert "Nothing was uploaded" in told
    assert "The project called penstock on PyPI is not this one" in told


def test_the_demo_ran_from_the_wheel_and_was_exact(release: tuple[Path, str]) -> None:
    [line] = [line for line in release[1].splitlines() if line.startswith("exact: ")]
    result = json.loads(line.removeprefix("exact: "))
    assert sum(result["published"].values()) == sum(result["rows"].values()) == 63
    assert result["dead_letters"] == 0


def test_the_wheel_holds_both_packages_and_all_their_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
    wanted = {name.partition("/")[2] for name in tracked("framework/penstock", "workers/penstock_workers")}
    assert held == wanted
    assert {Path(name).suffix for name in held} >= {".py", ".sql", ".cypher", ".typed", ".xml"}


def test_the_source_distribution_holds_what_it_takes_to_test_it(release: tuple[Path, str]) -> None:
    [source] = release[0].glob("*.tar.gz")
    with tarfile.open(source) as opened:
        held = {name.partition("/")[2] for name in opened.getnames()}
    assert held >= set(tracked("framework", "workers", "tests", "compose", ".ci", ".github", "Makefile", "uv.lock"))


def without(lost: str, record: bytes) -> bytes:
    """A RECORD as it is where a file was not packed: the check goes by it, not by the archive."""
    lines = record.decode().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f"{lost},")]
    assert len(kept) == len(lines) - 1
    return "".join(kept).encode()


@pytest.mark.parametrize("lost", ["penstock_workers/table/upsert.sql", "penstock/cli/run.py"])
def test_a_file_that_is_missing_in_the_wheel_is_seen(wheel: Path, tmp_path: Path, lost: str) -> None:
    done(BIN / "check-wheel-contents", wheel)
    short = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(short, "w") as made:
        assert lost in whole.namelist()
        for name in whole.namelist():
            if name != lost:
                made.writestr(name, without(lost, whole.read(name)) if name.endswith("/RECORD") else whole.read(name))
    result = run(BIN / "check-wheel-contents", short)
    assert result.returncode != 0
    assert Path(lost).name in result.stdout


def test_one_node_too_few_is_seen(release: tuple[Path, str]) -> None:
    [line] = [line for line in release[1].splitlines() if line.startswith("exact: ")]
    told = {"seconds": 1, **json.loads(line.removeprefix("exact: "))}
    done(*COMPARE, given=json.dumps(told), PYTHONPATH="tests")
    told["nodes"]["Artist"] -= 1
    assert run(*COMPARE, given=json.dumps(told), PYTHONPATH="tests").returncode == 1
