"""The workflow of GitHub Actions: taken by its linter, with pinned actions, few rights, and commands that exist."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from support.checkout import BIN, ROOT, done, run

if TYPE_CHECKING:
    from pathlib import Path

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
LINT = (BIN / "zizmor", "--offline", "--quiet", "--strict-collection")


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    return found


def steps(jobs: dict[str, Any], key: str) -> list[str]:
    """What all steps of all jobs say under `run` or `uses`."""
    return [step[key] for job in jobs.values() for step in job["steps"] if key in step]


def test_it_calls_what_every_submission_has_to_pass(jobs: dict[str, Any]) -> None:
    assert ".ci/run" in [step.get("run") for step in jobs["run"]["steps"]]
    for target in re.findall(r"^make (\w+)", "\n".join(steps(jobs, "run")), re.MULTILINE):
        done("make", "--dry-run", target)
    for path in re.findall(r"ARGS=(\S+)", "\n".join(steps(jobs, "run"))):
        assert (ROOT / path).exists(), path


def test_every_python_that_the_package_names_is_tried(jobs: dict[str, Any]) -> None:
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert jobs["unit"]["strategy"]["matrix"]["python"] == named


def test_jobs_end_and_may_only_read(jobs: dict[str, Any]) -> None:
    assert yaml.safe_load(WORKFLOW.read_text())["permissions"] == {}
    for name, job in jobs.items():
        assert job["permissions"] == {"contents": "read"}, name
        assert job["timeout-minutes"] <= 120, name


def test_actions_are_pinned_to_a_commit_and_say_which_version_it_is() -> None:
    used = re.findall(r"uses: (.*)", WORKFLOW.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0", "@v5"),
        ("    runs-on:", "    run-on:"),
        ("    permissions:\n      contents: read\n", "    permissions: write-all\n"),
        ("persist-credentials: false", "fetch-depth: 1"),
        ("run: make audit", "run: make audit ${{ github.event.pull_request.title }}"),
    ],
)
def test_its_linter_finds_what_is_wrong(tmp_path: Path, good: str, bad: str) -> None:
    text = WORKFLOW.read_text()
    assert good in text
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    file = tmp_path / ".github" / "workflows" / "ci.yml"
    file.write_text(text)
    done(*LINT, file)
    file.write_text(text.replace(good, bad))
    assert run(*LINT, file).returncode != 0
