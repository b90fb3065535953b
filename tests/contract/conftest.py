"""The SSH server and the Swarm of the suites, and the share of the suites on them that is not long."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest

from pipeline.engine.ssh.tunnel import Tunnel
from pipeline.engine.ssh_address import SshAddress
from pipeline.testing.machines.swarm import form_swarm
from tests.contract.engines import SSH_HOST
from tests.support.private_engine import PrivateEngine, obstacle, other_engine
from tests.support.sshd import SshServer, ssh_server
from tests.support.three_servers import three_servers

# One call of each kind: with an upgrade, with a stream, with a body, with sixteen connections at once. All other calls
# differ only in the path. `tests/docker/test_hosts.py` is the short test of two hosts.
SAMPLED: Mapping[object, frozenset[str]] = {
    "ssh": frozenset(
        {
            "test_a_started_container_is_listed_as_it_was_asked_for",
            "test_a_stream_has_every_line_and_ends_with_the_process",
            "test_a_command_runs_in_a_container",
            "test_files_are_read_out_of_a_container",
            "test_an_image_without_a_layer_is_not_loaded",
            "test_sixteen_starts_at_once_get_addresses_of_their_own",
            "test_an_interrupted_follower_can_follow_again",
        }
    ),
    # The console has its own test over SSH, since its connections are its own.
    "ssh-hosts": frozenset({"test_a_command_reads_its_input_to_the_end"}),
    # `tests/unit/engine/swarm` has every state of a task, and the fake Swarm the rest.
    "swarm": frozenset(
        {
            "test_a_started_replica_is_listed_as_it_was_asked_for",
            "test_a_probe_says_whether_a_replica_is_healthy",
            "test_what_cannot_be_started_leaves_nothing",
            "test_sixteen_starts_at_once_get_addresses_of_their_own",
            "test_stopping_says_what_it_took",
            "test_a_replica_is_restarted_only_with_a_policy",
            "test_a_removed_replica_is_gone",
        }
    ),
    "swarm-of-three": frozenset(),
}


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An SSH server on this machine, and a tunnel that the tests share."""
    with (
        ssh_server(tmp_path_factory.mktemp("sshd")) as server,
        Tunnel(server.tunnels, SSH_HOST.name, SshAddress.from_text(SSH_HOST.docker), server.environment),
    ):
        yield server


@pytest.fixture(scope="session")
def second_engine(base_image: str) -> Iterator[PrivateEngine]:
    """Another engine on this machine."""
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with other_engine(base_image) as engine:
        yield engine


@pytest.fixture(scope="session")
def swarm_manager(base_image: str) -> Iterator[PrivateEngine]:
    """Another engine on this machine, the only node of a Swarm."""
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with other_engine(base_image) as engine:
        at = f"--advertise-addr={engine.host}", f"--listen-addr={engine.host}"
        engine.docker("swarm", "init", *at)
        engine.docker("node", "update", "--label-add=zone=zone-a", engine.docker("node", "ls", "--quiet").strip())
        yield engine


@pytest.fixture(scope="session")
def swarm_nodes(base_image: str) -> Iterator[Mapping[str, str]]:
    """The engines of three machines on this one, the managers of a Swarm, by the addresses of the machines."""
    with three_servers("node1", "node2", "node3", image=base_image) as site:
        form_swarm(site, zones=dict.fromkeys(site.servers, "zone-a"))
        yield {server.address: server.engine.address for server in site.servers.values()}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the suites over SSH and on a Swarm as long, except a share of them."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        sampled = SAMPLED.get(callspec.params.get("tested")) if callspec is not None else None
        if sampled is not None and item.name.partition("[")[0] not in sampled:
            item.add_marker(pytest.mark.long)
