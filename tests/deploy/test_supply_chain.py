"""What comes along with Penstock is known: licences, materials, vulnerabilities; and our own dangerous calls are."""

from __future__ import annotations

import json
import re
import sysconfig
import venv
from typing import TYPE_CHECKING

import pytest

from penstock.embedded.ports import free_ports
from penstock.settings import Settings
from support.advisories import advisories
from support.checkout import BIN, ROOT, done, run

if TYPE_CHECKING:
    from pathlib import Path

SECURITY = ROOT / ".github" / "SECURITY.md"


def plain(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    """Packages and versions that users of all extras get on this machine, as uv.lock says."""
    options = (
        "--frozen",
        "--all-extras",
        "--no-dev",
        "--no-emit-project",
        "--no-hashes",
        "--no-annotate",
        "--no-header",
    )
    lines = done(BIN / "uv", "export", "--quiet", *options).splitlines()
    parts = [re.split(r"==|;", line.replace(" ", "")) for line in lines]
    return {plain(name): version for name, version, *_ in parts}


def test_the_list_of_licences_names_all_that_comes_along(locked: dict[str, str]) -> None:
    listed = {plain(line.split()[0]) for line in done("make", "--silent", "licences").splitlines()[1:]}
    # The lock file is for other systems and Pythons too.
    assert {"aio-pika", "asyncpg", "neo4j", "lxml", "arcadedb-embedded"} <= listed <= locked.keys()


@pytest.mark.parametrize(("licence", "code"), [("MIT", 0), ("GPL-3.0-only", 1), ("UNKNOWN", 1)])
def test_a_licence_that_nobody_agreed_to_fails(tmp_path: Path, licence: str, code: int) -> None:
    venv.create(tmp_path, symlinks=True)
    packages = sysconfig.get_path("purelib", "venv", {"base": str(tmp_path), "platbase": str(tmp_path)})
    described = f"{packages}/dragged_along-1.0.dist-info"
    (tmp_path / described).mkdir(parents=True)
    metadata = f"Metadata-Version: 2.4\nName: dragged-along\nVersion: 1.0\nLicense-Expression: {licence}\n"
    (tmp_path / described / "METADATA").write_text(metadata)
    result = run(BIN / "pip-licenses", "--python", tmp_path / "bin" / "python")
    assert result.returncode == code, result.stdout + result.stderr
    assert ("dragged-along" in result.stdout) == (code == 0)
    assert ("dragged-along" in result.stderr) == (code == 1)


def test_the_bill_of_materials_has_versions_and_licences_of_all_that_comes_along(locked: dict[str, str]) -> None:
    done("make", "--silent", "sbom")
    told = json.loads((ROOT / ".cache" / "penstock.cdx.json").read_text())
    assert (told["bomFormat"], told["metadata"]["component"]["name"]) == ("CycloneDX", "penstock")
    components = {plain(component["name"]): component for component in told["components"]}
    versions = {name: component["version"] for name, component in components.items()}
    assert "aio-pika" in versions
    assert versions.items() <= locked.items()
    assert [name for name, component in components.items() if not component.get("licenses")] == []
    [needed] = [one["dependsOn"] for one in told["dependencies"] if one["ref"] == "root-component"]
    assert {f"asyncpg=={versions['asyncpg']}", f"neo4j=={versions['neo4j']}"} <= set(needed)


def audit(address: str) -> tuple[int, str]:
    """Exit code and output of `make audit` against another service."""
    result = run("make", "audit", f"AUDIT=--vulnerability-service osv --osv-url {address}", seconds=300)
    return result.returncode, result.stdout + result.stderr


def test_the_audit_asks_about_all_and_finds_a_vulnerable_package(locked: dict[str, str]) -> None:
    with advisories() as clean:
        code, told = audit(clean.url)
    assert (code, "No known vulnerabilities found" in told) == (0, True), told
    asked = {plain(name): version for name, version in clean.asked.items()}
    assert asked["aio-pika"] == locked["aio-pika"]
    assert {"pytest", "pip-audit", "matplotlib"} <= asked.keys()
    with advisories("asyncpg") as bad:
        code, told = audit(bad.url)
    assert code != 0
    assert re.search(rf"asyncpg +{re.escape(locked['asyncpg'])} +PYSEC-0000-1 +9999.0", told), told


def test_an_audit_that_nobody_answers_fails() -> None:
    [port] = free_ports(1)
    code, told = audit(f"http://127.0.0.1:{port}/v1/query")
    assert code != 0
    assert "No known vulnerabilities found" not in told


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("S307", "print(eval(input()))"),
        ("S602", "import subprocess\n\nsubprocess.run(input(), shell=True, check=True)"),
        ("S608", 'table = input()\nprint(f"SELECT * FROM {table} WHERE 1 = 1")'),
        ("S501", 'import httpx\n\nhttpx.get("https://a.example", verify=False)'),
        ("S105", 'password = "hunter2"'),
    ],
)
@pytest.mark.parametrize("package", ["framework/penstock", "workers/penstock_workers"])
def test_dangerous_calls_are_found(package: str, rule: str, code: str) -> None:
    words = ("check", "--no-cache", "--output-format", "concise", "--stdin-filename", f"{package}/made_up.py", "-")
    result = run(BIN / "ruff", *words, given=f"{code}\n")
    assert result.returncode == 1
    assert f" {rule} " in result.stdout


def test_check_makes_them_all() -> None:
    commands = done("make", "--dry-run", "--always-make", "check")
    for tool in ("pip-licenses", "cyclonedx-py", "zizmor", "ruff check"):
        assert f".venv/bin/{tool}" in commands
    # That one needs a service on the network to answer.
    assert "pip-audit" not in commands


def test_what_the_security_page_names_is_there() -> None:
    text = SECURITY.read_text()
    for target in re.findall(r"`make (\w+)`", text):
        done("make", "--dry-run", target)
    assert Settings().http.host == "127.0.0.1"
    for section, key in re.findall(r"`([a-z]+)\.([a-z]+)`", text):
        if (section, key) != ("uv", "lock"):
            assert hasattr(getattr(Settings(), section), key)
    # Reports go by way of GitHub: an address that nobody reads would be worse than none.
    assert "@" not in text
