"""Clients and servers of Debian through a network load balancer that the kernel carries, during replacements."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from pipeline.balancer.model import TargetState
from tests.docker.client_container import IMAGE, ClientContainer
from tests.docker.flow_service import deploy_flows
from tests.docker.project import Project, until
from tests.support.namespace import obstacle
from tests.support.waiting import COMMAND_TIMEOUT

pytestmark = pytest.mark.docker

PRESERVED = "{preserve_client_ip.enabled: true}"
_POSTGRES = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
USER postgres
WORKDIR /var/lib/postgresql
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/data
RUN initdb --auth=trust --no-sync && echo "host all all all trust" >>data/pg_hba.conf
COPY version.txt .
STOPSIGNAL SIGINT
CMD exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c log_connections=on \
  -c cluster_name="v$(cat version.txt)"
"""
_REDIS = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
WORKDIR /var/lib/redis
COPY version.txt .
USER redis
CMD exec redis-server --bind 0.0.0.0 --protected-mode no --save "" --loglevel verbose \
  --syslog-ident "v$(cat version.txt)"
"""
_DNSMASQ = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
WORKDIR /
COPY version.txt .
CMD exec dnsmasq --keep-in-foreground --no-resolv --no-hosts --log-queries=extra --log-facility=- \
  --txt-record="version.test,v$(cat version.txt)"
"""


@pytest.fixture
def client() -> Iterator[ClientContainer]:
    """The client programs, on another machine."""
    found = (
        subprocess.run(
            ["docker", "image", "inspect", IMAGE], capture_output=True, check=False, timeout=COMMAND_TIMEOUT
        ).returncode
        == 0
    )
    if reason := obstacle() or ("" if found else f"setup/servers_image.sh has not built {IMAGE}"):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    client = ClientContainer()
    try:
        yield client
    finally:
        client.close()


def deploy(
    project: Project, client: ClientContainer, dockerfile: str, protocol: str, target_port: int, delay: str
) -> None:
    """Deploy version 1 of a server."""
    project.base_image = IMAGE
    project.configure()
    deploy_flows(
        project,
        client.host,
        {"Dockerfile": dockerfile},
        protocol=protocol,
        target_port=target_port,
        delay=delay,
        attributes=PRESERVED,
    )


def logged(project: Project) -> str:
    """What the containers of the service have printed."""
    commands = (["docker", "logs", container.name] for container in project.containers())
    return "".join(
        subprocess.run(
            each, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=COMMAND_TIMEOUT
        ).stdout
        for each in commands
    )


def test_session_of_psql_outlives_its_server(project: Project, client: ClientContainer) -> None:
    """A transaction of psql that is open while its PostgreSQL is replaced can be committed within the delay.

    New sessions succeed all the time. PostgreSQL logs the client's own address.
    """
    deploy(project, client, _POSTGRES, "TCP", 5432, "30s")
    psql = ("psql", "-XAtq", f"--host={client.host}", f"--port={project.port}", "--username=postgres")
    with client.repeating(f"{' '.join(psql)} --command='SHOW cluster_name'") as versions:
        with client.session(*psql) as session:
            assert session.ask("SHOW cluster_name;") == ["v1"]
            (server,) = session.ask("BEGIN; CREATE TABLE kept AS SELECT 7 AS value; SELECT inet_server_addr();")
            project.commit("2")
            run = project.start("run")
            until(
                lambda: (server, TargetState.DRAINING) in {(t.target.address, t.state) for t in project.targets()},
                "the server of the session drains",
            )
            until(lambda: versions[-1:] == ["v2"], "a session with version 2")
            assert session.ask("SELECT value, inet_client_addr() FROM kept; COMMIT;") == [f"7|{client.address}"]
            assert session.ask("SELECT value FROM kept;") == ["7"]
        out = project.finish(run).out
        until(lambda: versions[-3:] == ["v2"] * 3, "sessions with version 2")
    assert set(versions) == {"v1", "v2"}
    assert "aborted" not in out
    assert f"connection received: host={client.address} port=" in logged(project)
    project.pipeline("down")


@pytest.mark.long
def test_redis_cli_connects_again(project: Project, client: ClientContainer) -> None:
    """An idle connection of redis-cli is reset at the end of the delay. Then redis-cli connects to the new version.

    Pipelines of a thousand commands are answered all the time. Redis logs the client's own address.
    """
    deploy(project, client, _REDIS, "TCP", 6379, "1s")
    redis = ("redis-cli", "-h", client.host, "-p", str(project.port))
    pipeline = f"yes PING | head -n 1000 | {' '.join(redis)} --pipe"
    with client.repeating(pipeline) as printed, client.session(*redis) as session:
        assert session.ask("CONFIG GET syslog-ident", 2) == ["syslog-ident", "v1"]
        project.commit("2")
        out = project.pipeline("run").out
        assert session.ask("PING") == ["Error: Connection reset by peer"]
        assert session.ask("CONFIG GET syslog-ident", 2) == ["syslog-ident", "v2"]
    assert "deregistration delay of 1 s expired, aborted 1 in flight" in out
    results = [line for line in printed if line.startswith(("errors", "exit code"))]
    assert len(results) > 10
    assert set(results) == {"errors: 0, replies: 1000"}
    assert f"Accepted {client.address}:" in logged(project)
    project.pipeline("down")


@pytest.mark.long
def test_every_dns_query_is_answered(project: Project, client: ClientContainer) -> None:
    """While dnsmasq is replaced, each query of dig gets an answer to its first packet, by UDP and by TCP.

    dnsmasq logs the client's own address.
    """
    deploy(project, client, _DNSMASQ, "TCP_UDP", 53, "1s")
    dig = f"dig @{client.host} -p {project.port} +short +tries=1 +time=5 version.test TXT"
    with client.repeating(f"{dig}; {dig} +tcp") as answers:
        until(lambda: len(answers) > 10, "answers")
        project.commit("2")
        project.pipeline("run")
        until(lambda: answers[-2:] == ['"v2"'] * 2, "answers of version 2")
    assert set(answers) == {'"v1"', '"v2"'}
    assert f"query[TXT] version.test from {client.address}" in logged(project)
    project.pipeline("down")
