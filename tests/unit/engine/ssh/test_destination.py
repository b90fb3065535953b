"""The IP address of a host, by ssh's own configuration."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.clusters import with_addresses
from pipeline.engine.host import HostSpec

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="needs ssh")


def cluster(docker: str, address: str = "") -> ClusterSpec:
    return ClusterSpec(hosts=(ClusterHost(HostSpec("app1", docker, "a", address)),))


@needs_ssh
@pytest.mark.parametrize("docker", ["ssh://127.0.0.2", "ssh://deploy@127.0.0.2:2222/run/docker.sock"])
def test_an_address_is_itself(docker: str) -> None:
    """With any user, port and socket."""
    assert with_addresses(cluster(docker), os.environ).specs[0].address == "127.0.0.2"


def test_an_address_that_is_given_stays() -> None:
    """Without a question to ssh, whose name may mean nothing on this machine."""
    given = cluster("ssh://behind-a-jump-host", "10.0.0.11")
    assert with_addresses(given, {"PATH": ""}) == given


def test_an_alias_of_the_configuration_is_followed(tmp_path: Path) -> None:
    """What ssh connects to counts, not the name in the address."""
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nshift\nprintf "user deploy\\nhostname 127.0.0.3\\nport 22\\n"\n')
    ssh.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert with_addresses(cluster("ssh://app1"), environment).specs[0].address == "127.0.0.3"


@needs_ssh
def test_a_name_that_this_machine_does_not_know() -> None:
    """As of a machine behind a jump host: its address has to be written."""
    with pytest.raises(EngineFault) as caught:
        with_addresses(cluster("ssh://app1.invalid"), os.environ)
    assert caught.value.message.startswith(
        "host app1 (ssh://app1.invalid): the name app1.invalid is unknown on this machine: "
    )
    assert caught.value.hint == "set `address` of the host to the IP address at which this machine reaches it"


def test_a_machine_without_ssh() -> None:
    """The error says what to install."""
    with pytest.raises(EngineFault, match="the program ssh is not installed"):
        with_addresses(cluster("ssh://app1"), {"PATH": "/nonexistent"})
