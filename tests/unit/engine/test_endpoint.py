"""The engine that Docker's own command line would use."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.endpoint import find_endpoint
from pipeline.engine.hosts import local_engine

HERE = "unix:///var/run/docker.sock"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Docker's configuration with the contexts `lab` and `tls`; `lab` is the current one."""
    for name, address in (("lab", "unix:///run/lab.sock"), ("tls", "tcp://127.0.0.1:1")):
        meta = tmp_path / "contexts" / "meta" / key(name)
        meta.mkdir(parents=True)
        docker = {"Host": address, "SkipTLSVerify": False}
        (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": docker}}))
    (tmp_path / "contexts" / "tls" / key("tls") / "docker").mkdir(parents=True)
    (tmp_path / "config.json").write_text('{"currentContext": "lab"}')
    return tmp_path


def key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "unix:///run/lab.sock"),
        ({"DOCKER_CONTEXT": "tls"}, "tcp://127.0.0.1:1"),
        ({"DOCKER_CONTEXT": "default"}, HERE),
        ({"DOCKER_CONTEXT": "tls", "DOCKER_HOST": "tcp://127.0.0.1:2"}, "tcp://127.0.0.1:2"),
        ({"DOCKER_HOST": "tcp://127.0.0.1:2"}, "tcp://127.0.0.1:2"),
        ({"DOCKER_HOST": ""}, "unix:///run/lab.sock"),
    ],
)
def test_the_order_of_the_choices(folder: Path, variables: dict[str, str], address: str) -> None:
    """DOCKER_HOST comes first, then DOCKER_CONTEXT, then the context of the configuration."""
    assert find_endpoint({"DOCKER_CONFIG": str(folder), **variables}).address == address


def test_the_configuration_is_in_the_home_directory(folder: Path) -> None:
    """Unless DOCKER_CONFIG names another folder."""
    folder.rename(folder.parent / ".docker")
    assert find_endpoint({"HOME": str(folder.parent)}).address == "unix:///run/lab.sock"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"currentContext": ""}', '{"currentContext": 3}'])
def test_a_configuration_without_a_context(tmp_path: Path, text: str) -> None:
    """Docker of this machine is used."""
    (tmp_path / "config.json").write_text(text)
    assert find_endpoint({"DOCKER_CONFIG": str(tmp_path)}).address == HERE


def test_a_context_that_does_not_exist(folder: Path) -> None:
    """The error says who names it, and how to select another."""
    with pytest.raises(EngineFault, match="there is no context none, which DOCKER_CONTEXT names"):
        find_endpoint({"DOCKER_CONFIG": str(folder), "DOCKER_CONTEXT": "none"})
    (folder / "config.json").write_text('{"currentContext": "gone"}')
    with pytest.raises(EngineFault, match="context gone, which `docker context use` names") as caught:
        local_engine("home", {"DOCKER_CONFIG": str(folder)})
    assert "docker context ls" in str(caught.value.hint)


def test_the_engine_is_that_of_the_context(folder: Path) -> None:
    """The error names its address."""
    with pytest.raises(EngineFault, match=r"no response at tcp://127\.0\.0\.1:1"):
        local_engine("home", {"DOCKER_CONFIG": str(folder), "DOCKER_CONTEXT": "tls"})


def test_a_context_with_tls(folder: Path) -> None:
    """Its certificates are used."""
    tls = folder / "contexts" / "tls" / key("tls") / "docker"
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tls / name).write_text("")
    options = find_endpoint({"DOCKER_CONFIG": str(folder), "DOCKER_CONTEXT": "tls"}).client_options()
    assert options["tls"].cert == (str(tls / "cert.pem"), str(tls / "key.pem"))
    assert options["tls"].ca_cert == str(tls / "ca.pem")
    assert options["tls"].verify is True
