"""What CONTRIBUTING.md names is there, and the workflow runs what it says."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.M))


def test_every_path_is_there() -> None:
    tops = "nqm|lopt|theory|figures|tests|docs|benchmarks"
    named = re.findall(rf"`((?:{tops})/[\w./-]*|[\w-]+\.(?:md|toml|txt))`", TEXT)
    assert len(named) > 25
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert (ROOT / "CHANGELOG.md").is_file()


def test_every_target_is_in_the_makefile() -> None:
    named = set(re.findall(r"^make (\w+)|`make (\w+)`", TEXT, re.M))
    assert {a or b for a, b in named} <= TARGETS


def test_the_workflow_runs_every_python_of_the_classifiers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    minors = re.findall(r"Python :: (3\.\d+)'", str(project["classifiers"]))
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    jobs = workflow["jobs"]
    matrix = jobs["test"]["strategy"]["matrix"]
    assert matrix["python"] == minors
    assert project["requires-python"] == f">={minors[0]}"
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos"}
    for job, target in (("lint", "make lint"), ("test", "make test"), ("test", "make extended")):
        commands = [step.get("run", "") for step in jobs[job]["steps"]]
        assert any(command.startswith(target) for command in commands)


def test_the_hooks_run_the_tools_of_the_environment() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    entries = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    assert [entry.split()[0] for entry in entries] == [
        ".venv/bin/ruff",
        ".venv/bin/ruff",
        ".venv/bin/mypy",
    ]
