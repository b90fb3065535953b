"""Tests, services and release commands in a pipeline.yaml."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config import steps
from pipeline.config.steps import Readiness, ReleaseCommand

TESTS: dict[str, Any] = {"command": ["true"]}


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        (
            {"artifacts": ["reports"]},
            "must be an absolute path in the container, such as /tmp/reports",
        ),
        ({"artifacts": ["/a/../../etc"]}, "must be a path below /, without .."),
        ({"artifacts": ["/"]}, "must be a path below /, without .."),
        ({"services": {"d_b": {"image": "postgres"}}}, "String should match pattern"),
        ({"services": {"db": {"image": ""}}}, "at least 1 character"),
        ({"services": {"db": {"image": "postgres"}}, "network": "none"}, "must be empty with network: none"),
        ({"retry": {"failure": 11}}, "less than or equal to 10"),
    ],
)
def test_what_tests_cannot_have(tests: dict[str, Any], reason: str) -> None:
    """Each says what it should be."""
    with pytest.raises(ValidationError) as caught:
        steps.Tests(**TESTS, **tests)
    assert reason in str(caught.value)


@pytest.mark.parametrize("http", ["8080/ready", ":8080", ":0/ready", ":65536/", ":80/a b", "http://db:80/", ":80/\r\n"])
def test_readiness_by_http_is_a_port_and_a_path(http: str) -> None:
    """The host is the service itself."""
    with pytest.raises(ValidationError, match="is not a valid port and path; write :8080/ready"):
        Readiness(http=http)


def test_readiness_is_asked_in_one_way() -> None:
    """Or in none, which leaves it to the image."""
    assert Readiness(http=":8080/ready?full=1").http == ":8080/ready?full=1"
    assert Readiness().timeout.total_seconds() == 60
    with pytest.raises(ValidationError, match="only one of tcp, http and command is allowed"):
        Readiness(tcp=80, command=("true",))


def test_paths_are_kept_as_short_as_they_are() -> None:
    """Two spellings of one path are one."""
    assert steps.Tests(**TESTS, artifacts=("/tmp//out/",), reports="/tmp/./junit.xml").artifacts == ("/tmp/out",)


def test_a_release_command_needs_a_command() -> None:
    """Everything else has a default."""
    assert ReleaseCommand(command=("migrate",)).timeout.total_seconds() == 600
    with pytest.raises(ValidationError):
        ReleaseCommand(command=())
