"""`pipeline scaling simulate`: its output, its charts and its errors."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.base.errors import ConfigError, SystemFault
from pipeline.cli.program import cli
from tests.support.alb_entries import line, text

POLICY = ("--max", "5", "--target", "requests_per_target=60")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with one request per second in the first five minutes, and three in the next five."""
    path = tmp_path / "access.log"
    arrivals = [float(second) for second in range(300)] + [300 + third / 3 for third in range(900)]
    path.write_text(text(line(arrival, 0.1) for arrival in arrivals))
    return path


def run(*words: str | Path) -> str:
    """Return the output of the command. An error of Penstock is raised."""
    done = CliRunner().invoke(cli, ["scaling", "simulate", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def failed(*words: str | Path) -> str:
    """Return the error of the command."""
    with pytest.raises((ConfigError, SystemFault)) as raised:
        run(*words)
    return str(raised.value)


def test_the_summary(log: Path) -> None:
    """The policy is compared with its largest number of replicas."""
    assert run(log, *POLICY).splitlines() == [
        "            REPLICAS  REPLICA-HOURS  CHANGES  P99, MEDIAN  P99, WORST MINUTE  REJECTED",
        "policy      1 to 3    0.3            1        100 ms       100 ms             0",
        "3 replicas  3 to 3    0.5            0        100 ms       100 ms             0",
        "1,200 requests in 10 minutes; 35% less replica-hours than 3",
    ]
    assert "50% more replica-hours than 1" not in run(log, *POLICY, "--fixed", "2")
    assert "more replica-hours than 1" in run(log, *POLICY, "--fixed", "1")


def test_json(log: Path) -> None:
    """`--json` has each minute and each change with its reason, and equal calls print the same."""
    printed = run(log, *POLICY, "--json")
    found = json.loads(printed)
    assert printed == run(log, *POLICY, "--json")
    assert found["start"] == "2026-03-02T08:00:00+00:00"
    assert [minute["requests"] for minute in found["minutes"]] == [60] * 5 + [180] * 5
    assert found["minutes"][0] == {
        "start": 0,
        "requests": 60,
        "replicas": 1,
        "serving": 1,
        "in_flight": 0,
        "rejected": 0,
        "p50": pytest.approx(0.1),
        "p99": pytest.approx(0.1),
    }
    reason = "requests_per_target: 180 in total, target 60 for each replica"
    assert found["changes"] == [{"at": 315.0, "before": 1, "after": 3, "reason": reason}]
    assert found["fixed"] == {"replicas": 3, "replica_hours": 0.5, "rejected": 0}


def test_a_policy_file_and_the_model(log: Path, tmp_path: Path) -> None:
    """The policy may come from a file, and options describe the replicas."""
    path = tmp_path / "pipeline.yaml"
    path.write_text("deploy:\n  services:\n    web: {scaling: {min: 2, max: 4, target: {connections: 1}}}\n")
    found = json.loads(run(log, "--policy", path, "--service", "web", "--initial", "3", "--json", "--concurrency", "1"))
    assert found["minutes"][-1]["replicas"] == 2
    assert found["changes"][0]["before"] == 3
    slow = json.loads(run(log, *POLICY, "--json", "--start-time", "2m", "--max-wait", "1s", "--target-group", "web"))
    assert [minute["serving"] for minute in slow["minutes"]] == [1] * 7 + [3] * 3


def test_the_plot(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--plot` prints three charts that are no wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "60")
    lines = run(log, *POLICY, "--plot").splitlines()[4:]
    assert [row for row in lines if not row.startswith(" ")] == [
        "load, requests per second",
        "replicas",
        "p99 of the response time, ms",
    ]
    assert lines[8:14] == [
        "      3 ┤     █████",
        "        ┤     █████",
        "        ┤     █████",
        "        ┤     █████",
        "        ┤██████████",
        "      0 ┤██████████",
    ]
    assert lines[-1] == "         0   10 min"
    assert max(map(len, lines)) <= 60


def test_the_picture(log: Path, tmp_path: Path) -> None:
    """`--svg` writes well-formed SVG with a title, labelled axes and a legend, and nothing from outside."""
    path = tmp_path / "plot.svg"
    assert f"wrote {path}\n" in run(log, *POLICY, "--svg", path)
    root = ET.fromstring(path.read_text())
    space = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{space}title").text == "Simulated scaling of access.log"
    texts = [found.text for found in root.iter(f"{space}text")]
    for word in ("requests per second", "replicas", "response time, ms", "load", "fixed: 3", "p50", "p99", "10 min"):
        assert word in texts
    assert len([*root.iter(f"{space}polyline")]) == 5
    assert "href" not in path.read_text()


def test_notes_about_the_log(log: Path) -> None:
    """Entries that the simulation leaves out or completes are counted."""
    with log.open("a") as file:
        file.write(text([line(1, -1), line(2, 1, target_group_arn=None), "http damaged"]))
    output = run(log, *POLICY)
    assert "1 without target_processing_time, simulated with the median\n" in output
    assert "1 entries not for the target group, skipped\n" in output
    assert "1 damaged lines, skipped\n" in output


def test_mistakes(log: Path, tmp_path: Path) -> None:
    """Each mistake says what to write instead."""
    path = tmp_path / "policy.yaml"
    path.write_text("scaling: {max: 2, target: {cpu: 50}}")
    hint = "--policy FILE, or --max 10 --target requests_per_target=100"
    assert failed(log) == f"a policy is required\n{hint}"
    assert failed(log, "--max", "3") == f"a policy is required\n{hint}"
    assert failed(log, "--policy", path, "--max", "3") == (
        "--policy has the policy, so its other options cannot be given too\nchange the file"
    )
    assert failed(log, "--max", "3", "--target", "cpu") == (
        "--target cpu: must be METRIC=VALUE, such as requests_per_target=100"
    )
    assert failed(log, "--max", "0", "--target", "cpus=5") == (
        "max: must be at least 1, got 0\ntarget.cpus: unknown key (did you mean cpu?)"
    )
    assert failed(log, "--max", "3", "--target", "response_time_p90=5") == (
        "target.response_time_p90: 5.0 is not a valid duration; write 500ms, 30s, 2m or 1h"
    )
    missing = tmp_path / "missing" / "plot.svg"
    assert failed(log, *POLICY, "--svg", missing) == f"cannot write {missing}: No such file or directory"


def test_a_bad_duration(log: Path) -> None:
    """An option that is no duration is a mistake in the usage."""
    done = CliRunner().invoke(cli, ["scaling", "simulate", str(log), *POLICY, "--start-time", "5"])
    assert done.exit_code == 2
    assert "Invalid value for '--start-time': '5' is not a valid duration; write 500ms, 30s, 2m or 1h" in done.output
