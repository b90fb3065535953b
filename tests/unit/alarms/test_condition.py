"""Conditions of `rollback_on`, and the exact error of each mistake in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.alarms.rollback_on import RollbackOn
from pipeline.base.schema import Model
from pipeline.config.document import read_document
from pipeline.config.validation import problems_of

GOOD = """\
rollback_on:
  confidence: 99.5%
  min_requests: 50
  insufficient_data: rollback
  conditions:
    - {metric: http_5xx_ratio, above: 1%}
    - {metric: target_5xx_ratio, worse_by: 0.5%}
    - {metric: elb_5xx_ratio, worse_than_previous: true}
    - {metric: p99, above: 300ms}
    - {metric: p50, slower_by: 10%}
    - {metric: response_time, worse_than_previous: true}
    - {metric: connection_errors, above: 5}
    - {metric: unhealthy_targets, above: 0}
    - {metric: restarts, above: 0}
    - {command: [./check.sh, --fast], interval: 30s, timeout: 5s, datapoints_to_alarm: 2}
    - {promql: "sum(rate(errors[1m]))", server: "http://127.0.0.1:9090", above: 0.5}
"""
METRICS = "http_5xx_ratio, target_5xx_ratio, elb_5xx_ratio, p50, p90, p99, response_time, connection_errors, "


class File(Model):
    """A file with this section alone."""

    rollback_on: RollbackOn


def load(text: str, folder: Path) -> RollbackOn:
    """Return the section of a file."""
    path = folder / "file.yaml"
    path.write_text(text)
    return File.model_validate(read_document(path).data).rollback_on


def errors(text: str, folder: Path) -> list[str]:
    """Return the errors of a file, with line and column."""
    path = folder / "file.yaml"
    path.write_text(text)
    document = read_document(path)
    with pytest.raises(ValidationError) as caught:
        File.model_validate(document.data)
    return [problem.render("f").removeprefix("f:") for problem in problems_of(caught.value, document, File)]


def test_each_condition(tmp_path: Path) -> None:
    """A file with a condition of each kind is valid, and its stored form is read back."""
    found = load(GOOD, tmp_path)
    assert [type(condition).__name__ for condition in found.conditions] == [
        *["RatioCondition"] * 3,
        *["ResponseTimeCondition"] * 3,
        *["CountCondition"] * 3,
        "CommandCondition",
        "PromqlCondition",
    ]
    assert found.confidence == 0.995
    assert RollbackOn.model_validate(found.model_dump(mode="json")) == found


def test_the_short_form(tmp_path: Path) -> None:
    """The list of conditions may stand for the section, and the other keys have their defaults."""
    found = load("rollback_on: [{metric: http_5xx_ratio, above: 1%}]\n", tmp_path)
    assert (found.confidence, found.min_requests, found.insufficient_data) == (0.99, 20, "promote")
    assert found.conditions[0].model_dump(exclude_none=True) == {"metric": "http_5xx_ratio", "above": "1%"}


def test_the_threshold_is_shared(tmp_path: Path) -> None:
    """The probability of a false alarm is divided among the conditions that have one."""
    assert load(GOOD, tmp_path).threshold == pytest.approx(6 / 0.005)
    assert load("rollback_on: [{metric: restarts, above: 0}]\n", tmp_path).threshold == pytest.approx(100)


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        (
            "{above: 1%}",
            "1:15: rollback_on[0]: needs a metric, a command or promql; write metric: http_5xx_ratio, for example",
        ),
        (
            "{metric: http_5xx, above: 1%}",
            f"1:24: rollback_on[0].metric: must be one of {METRICS}unhealthy_targets, restarts, got 'http_5xx' "
            "(did you mean http_5xx_ratio?)",
        ),
        (
            "{metric: http_5xx_ratio}",
            "1:15: rollback_on[0]: exactly one of above, worse_by and worse_than_previous is required, got 0",
        ),
        (
            "{metric: http_5xx_ratio, above: 1%, worse_by: 1%}",
            "1:61: rollback_on[0].worse_by: exactly one of above, worse_by and worse_than_previous is required, got 2",
        ),
        (
            "{metric: p99}",
            "1:15: rollback_on[0]: exactly one of above, slower_by and worse_than_previous is required, got 0",
        ),
        (
            "{metric: http_5xx_ratio, above: 0.01}",
            "1:47: rollback_on[0].above: 0.01 is not a valid percentage; write 1% or 0.01%",
        ),
        (
            "{metric: http_5xx_ratio, above: 0%}",
            "1:47: rollback_on[0].above: must be between 0.0001% and 99%, got 0%",
        ),
        (
            "{metric: http_5xx_ratio, worse_by: 100%}",
            "1:50: rollback_on[0].worse_by: must be between 0.0001% and 99%, got 100%",
        ),
        (
            "{metric: http_5xx_ratio, slower_by: 10%}",
            "1:40: rollback_on[0].slower_by: unknown key (it is for metric p50, p90, p99, response_time)",
        ),
        (
            "{metric: p99, worse_by: 10%}",
            "1:29: rollback_on[0].worse_by: unknown key (it is for metric http_5xx_ratio, target_5xx_ratio, "
            "elb_5xx_ratio)",
        ),
        (
            "{metric: http_5xx_ratio, worse_than_previous: false}",
            "1:61: rollback_on[0].worse_than_previous: must be true, got false",
        ),
        ("{metric: p99, slower_by: 0.5%}", "1:40: rollback_on[0].slower_by: must be between 1% and 900%, got 0.5%"),
        (
            "{metric: p99, above: 300}",
            "1:36: rollback_on[0].above: 300 is not a valid duration; write 300ms, 300s, 300m or 300h",
        ),
        ("{metric: p99, above: 2m}", "1:36: rollback_on[0].above: must be between 1ms and 1m"),
        ("{metric: p99, above: 0s}", "1:36: rollback_on[0].above: must be between 1ms and 1m"),
        (
            "{metric: response_time, above: 1s}",
            "1:46: rollback_on[0].above: is for p50, p90 and p99; write metric: p99, or slower_by: 10%",
        ),
        ("{metric: restarts}", "1:15: rollback_on[0].above: is missing (Highest number that is no alarm)"),
        ("{metric: restarts, above: 1%}", "1:41: rollback_on[0].above: must be a whole number, got '1%'"),
        ("{metric: restarts, above: -1}", "1:41: rollback_on[0].above: must be at least 0, got -1"),
        (
            "{metric: command, command: [x]}",
            "1:24: rollback_on[0].metric: command is not supported: it is a key; write command: [./check.sh] without "
            "metric",
        ),
        ("{command: []}", "1:25: rollback_on[0].command: must have at least one item"),
        (
            "{command: ./check.sh}",
            "1:25: rollback_on[0].command: must be a list, got './check.sh' (write [./check.sh])",
        ),
        (
            "{command: [x], interval: 10ms}",
            "1:40: rollback_on[0].interval: must be between 1s and 1h",
        ),
        ("{command: [x], timeout: 2h}", "1:39: rollback_on[0].timeout: must be between 1s and 1h"),
        ("{promql: up}", "1:15: rollback_on[0]: one of above and below is required, such as above: 0.5"),
        ("{promql: up, above: true}", "1:35: rollback_on[0].above: must be a number, got true"),
        ("{promql: up, above: .nan}", "1:35: rollback_on[0].above: must be a number, got '.nan'"),
        (
            "{promql: up, below: 1, server: localhost}",
            "1:46: rollback_on[0].server: must be a URL that starts with http:// or https://, got 'localhost'",
        ),
        (
            "{promql: up, below: 1, comand: x}",
            "1:38: rollback_on[0].comand: unknown key (known: above, below, "
            "datapoints_to_alarm, interval, promql, server, timeout)",
        ),
        (
            "http_5xx_ratio",
            "1:15: rollback_on[0]: must be a mapping of keys, got 'http_5xx_ratio' (write {metric: "
            "http_5xx_ratio, above: 1%})",
        ),
    ],
)
def test_each_mistake_has_its_exact_error(condition: str, error: str, tmp_path: Path) -> None:
    """One mistake in a condition gives one error, at the key as written."""
    assert errors(f"rollback_on: [{condition}]\n", tmp_path) == [error]


@pytest.mark.parametrize(
    ("right", "written", "error"),
    [
        ("99.5%", "99", "2:15: rollback_on.confidence: 99 is not a valid percentage; write 99%"),
        ("99.5%", "40%", "2:15: rollback_on.confidence: must be between 50% and 99.99%, got 40%"),
        ("99.5%", "100%", "2:15: rollback_on.confidence: must be between 50% and 99.99%, got 100%"),
        ("50\n", "0\n", "3:17: rollback_on.min_requests: must be at least 1, got 0"),
        (
            "insufficient_data: rollback",
            "insufficient_data: fail",
            "4:22: rollback_on.insufficient_data: must be promote or rollback, got 'fail'",
        ),
        ("confidence", "confidense", "2:3: rollback_on.confidense: unknown key (did you mean confidence?)"),
        (
            "target_5xx_ratio, worse_by: 0.5%",
            "http_5xx_ratio, above: 1.0%",
            "7:7: rollback_on.conditions[1]: is the same as condition 1; remove one of them",
        ),
    ],
)
def test_each_mistake_of_the_section(right: str, written: str, error: str, tmp_path: Path) -> None:
    """One mistake in the section gives one error, with its place."""
    assert right in GOOD
    assert errors(GOOD.replace(right, written, 1), tmp_path) == [error]


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Each condition reports its own mistake."""
    text = "rollback_on:\n  - {metric: p99}\n  - {metric: restarts, above: x}\n"
    assert errors(text, tmp_path) == [
        "2:5: rollback_on[0]: exactly one of above, slower_by and worse_than_previous is required, got 0",
        "3:31: rollback_on[1].above: must be a whole number, got 'x'",
    ]


@pytest.mark.parametrize("text", ["rollback_on: []\n", "rollback_on: {conditions: []}\n"])
def test_no_condition(text: str, tmp_path: Path) -> None:
    """A section without conditions is refused."""
    (error,) = errors(text, tmp_path)
    assert error.endswith("must have at least one item")
