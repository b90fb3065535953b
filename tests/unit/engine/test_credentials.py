"""The credentials of registries, with helpers that are absent or fail."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.engine.docker.connection import connect
from pipeline.engine.docker.credentials import CredentialsOnDemand

HELPER = """\
#!/bin/sh
cat >> "$(dirname "$0")/asked"
echo " $1" >> "$(dirname "$0")/asked"
echo '{"ServerURL": "one.example:5000", "Username": "ann", "Secret": "sesame"}'
"""


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH with a helper that works and one that fails."""
    for name, text in (("works", HELPER), ("fails", "#!/bin/sh\necho broken\nexit 1\n")):
        path = tmp_path / f"docker-credential-{name}"
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def credentials(configuration: dict[str, Any]) -> CredentialsOnDemand:
    return CredentialsOnDemand(json.loads(json.dumps(configuration)))


def test_only_the_helper_of_the_registry_in_question_is_asked(helpers: Path) -> None:
    """Absent and failing helpers of other registries do not matter (docker/docker-py#2482)."""
    found = credentials(
        {"credHelpers": {"one.example:5000": "works", "two.example": "absent", "three.example": "fails"}}
    )
    assert found.resolve_authconfig("one.example:5000")["Username"] == "ann"
    assert found.problem is None
    assert (helpers / "asked").read_text() == "one.example:5000 get\n"
    assert found.get_all_credentials() == {}


@pytest.mark.parametrize("name", ["absent", "fails"])
def test_a_helper_that_does_not_work_has_no_credentials(helpers: Path, name: str) -> None:
    """The pull goes on without, and `problem` says why."""
    found = credentials({"credsStore": name})
    assert found.resolve_authconfig("one.example") is None
    assert f"docker-credential-{name}" in str(found.problem) or "broken" in str(found.problem)


def test_credentials_in_the_file(helpers: Path) -> None:
    """They count for a registry without a helper, and if its helper fails."""
    auth = base64.b64encode(b"bob:secret").decode()
    configuration = {"auths": {"one.example": {"auth": auth}}, "credHelpers": {"two.example": "absent"}}
    assert credentials(configuration).resolve_authconfig("one.example")["username"] == "bob"
    assert credentials({**configuration, "credsStore": "absent"}).resolve_authconfig("one.example")["username"] == "bob"
    assert credentials(configuration).resolve_authconfig("three.example") is None


AUTH = {"auth": base64.b64encode(b"bob:secret").decode()}


@pytest.mark.parametrize(
    "entry", [{"auth": "%%%"}, {"auth": "bm8tY29sb24="}, {"auth": "ä"}, {"auth": 1}, {"auth": ""}, None, 1, "text", []]
)
@pytest.mark.parametrize("name", ["other.example", "https://other.example/v1/"])
def test_an_invalid_entry_is_that_of_its_registry_only(
    name: str, entry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is reached, and other registries have their credentials."""
    (tmp_path / "config.json").write_text(json.dumps({"auths": {name: entry, "one.example": AUTH}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    found = connect({"DOCKER_HOST": "tcp://127.0.0.1:1"}, version="1.41").credentials
    assert found.resolve_authconfig("one.example")["username"] == "bob"
    assert found.resolve_authconfig("other.example") is None
    assert "other.example" in str(found.problem)


@pytest.mark.parametrize(
    "broken",
    [
        {"proxies": None},
        {"proxies": {"default": None}},
        {"proxies": []},
        {"credHelpers": None},
        {"credsStore": None},
        {"auths": None, "HttpHeaders": None},
    ],
)
def test_a_section_without_content(broken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as absent, as for Docker's command."""
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"one.example": AUTH}, **broken}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    found = connect({"DOCKER_HOST": "tcp://127.0.0.1:1"}, version="1.41").credentials
    assert bool(found.resolve_authconfig("one.example")) == ("auths" not in broken)


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"one.example": AUTH})])
def test_a_configuration_without_sections(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old one has registries only."""
    if text:
        (tmp_path / "config.json").write_text(text)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = connect({"DOCKER_HOST": "tcp://127.0.0.1:1"}, version="1.41").credentials
    assert bool(found.resolve_authconfig("one.example")) == (len(text) > 2)
