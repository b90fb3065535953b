"""Mistakes in `deploy.hosts`, with the exact errors."""

from __future__ import annotations

from tests.unit.config.mistakes import Bad

_SSH_FORM = "write ssh://USER@HOST, ssh://USER@HOST:PORT, or with the path of its socket at the end"
_ENGINE = (
    "Address of its engine: ssh://USER@HOST, with :PORT and the path of Docker's socket if they are not the usual "
    "ones, or `local` for the engine of this machine"
)


def _hosts(mistake: str, *hosts: str, error: str) -> Bad:
    """Return a mistake in the hosts, each written as a flow mapping. `error` begins with the column in line 11."""
    written = f"  replicas: 3\n  hosts: [{', '.join(hosts)}]"
    return Bad(mistake, "  replicas: 3", written, f"11:{error}")


def _deploy(mistake: str, line: str, error: str) -> Bad:
    return Bad(mistake, "  replicas: 3", f"  replicas: 3\n  {line}", f"11:{error}")


HOST_MISTAKES = [
    _deploy("an unknown runtime", "runtime: k8s", "12: deploy.runtime: must be docker or swarm, got 'k8s'"),
    _deploy(
        "a placement without hosts",
        "placement: pack",
        "14: deploy.placement: needs hosts, between which it chooses; leave it out, or list deploy.hosts",
    ),
    _deploy(
        "an unknown placement",
        "placement: random",
        "14: deploy.placement: must be spread or pack, got 'random'",
    ),
    _deploy(
        "a host in place of the list",
        "hosts: app1",
        "10: deploy.hosts: must be a list, got 'app1' (write [{name: app1, docker: ssh://deploy@app1.example.com}])",
    ),
    _deploy("the servers of Kamal", "servers: [app1]", "3: deploy.servers: unknown key (write hosts)"),
    _deploy(
        "hosts of one service",
        "services: {web: {hosts: [{name: app1, docker: local}]}}",
        "20: deploy.services.web.hosts: unknown key (write deploy.hosts, which is for all services)",
    ),
    _hosts(
        "a host by its name",
        "app1",
        error="11: deploy.hosts[0]: must be a mapping of keys, got 'app1' "
        "(write {name: app1, docker: ssh://deploy@app1.example.com})",
    ),
    _hosts("a host without an engine", "{name: app1}", error=f"11: deploy.hosts[0].docker: is missing ({_ENGINE})"),
    _hosts(
        "a host without a name",
        "{docker: local}",
        error="11: deploy.hosts[0].name: is missing (Name of the host in events and commands. "
        "It is its identity: keep it)",
    ),
    _hosts(
        "a name that is no label of DNS",
        "{name: App_1, docker: local}",
        error="18: deploy.hosts[0].name: must be a host name: 1 to 63 lower-case letters, digits and inner dashes, "
        "got 'App_1' (write app-1)",
    ),
    _hosts(
        "an engine without ssh://",
        "{name: app1, docker: deploy@app1:22}",
        error="32: deploy.hosts[0].docker: must be local or begin with ssh://, got 'deploy@app1:22'; "
        "write ssh://deploy@app1:22 or local",
    ),
    _hosts(
        "this machine by another name",
        "{name: app1, docker: localhost}",
        error="32: deploy.hosts[0].docker: must be local or begin with ssh://, got 'localhost'; "
        "write local for this machine",
    ),
    _hosts(
        "an engine by TCP",
        "{name: app1, docker: tcp://10.0.0.1:2375}",
        error=f"32: deploy.hosts[0].docker: 'tcp://10.0.0.1:2375' does not begin with ssh://; {_SSH_FORM}",
    ),
    _hosts(
        "a password in the address",
        "{name: app1, docker: ssh://deploy:secret@app1}",
        error="32: deploy.hosts[0].docker: an address has no password; ssh uses keys",
    ),
    _hosts(
        "a port that is none",
        "{name: app1, docker: ssh://app1:99999}",
        error="32: deploy.hosts[0].docker: the port of 'ssh://app1:99999' is not a number from 1 to 65535",
    ),
    _hosts(
        "an option of ssh as the host",
        "{name: app1, docker: ssh://-oProxyCommand=x}",
        error=f"32: deploy.hosts[0].docker: '-oProxyCommand=x' is not a name of a user or a host; {_SSH_FORM}",
    ),
    _hosts(
        "a port beside the address of the engine",
        "{name: app1, docker: ssh://app1, port: 22}",
        error="44: deploy.hosts[0].port: unknown key (write docker: ssh://USER@HOST:PORT)",
    ),
    _hosts(
        "a name as the address",
        "{name: app1, docker: ssh://app1, address: app1.example.com}",
        error="53: deploy.hosts[0].address: must be an IP address of the host, such as 10.0.0.11, "
        "got 'app1.example.com'",
    ),
    _hosts(
        "a number as the address",
        "{name: app1, docker: ssh://app1, address: 7}",
        error="53: deploy.hosts[0].address: must be an IP address of the host, such as 10.0.0.11, got '7'",
    ),
    _hosts(
        "an address with a port",
        "{name: app1, docker: ssh://app1, address: '10.0.0.11:8080'}",
        error="53: deploy.hosts[0].address: must be an IP address without a port, got '10.0.0.11:8080': "
        "Penstock chooses the port; write 10.0.0.11",
    ),
    _hosts(
        "an address of IPv6 with a port",
        "{name: app1, docker: ssh://app1, address: '[2001:db8::7]:8080'}",
        error="53: deploy.hosts[0].address: must be an IP address without a port, got '[2001:db8::7]:8080': "
        "Penstock chooses the port; write 2001:db8::7",
    ),
    _hosts(
        "all addresses",
        "{name: app1, docker: ssh://app1, address: 0.0.0.0}",
        error="53: deploy.hosts[0].address: must be an address of the host that this machine can reach, got 0.0.0.0",
    ),
    _hosts(
        "a zone with a space",
        "{name: app1, docker: ssh://app1, zone: zone a}",
        error="50: deploy.hosts[0].zone: must be 1 to 32 letters, digits and inner dashes, got 'zone a'",
    ),
    _hosts(
        "a name twice",
        "{name: app1, docker: ssh://app1}",
        "{name: app1, docker: ssh://app2}",
        error="52: deploy.hosts[1].name: app1 is the name of another host; choose another name",
    ),
    _hosts(
        "an engine twice",
        "{name: app1, docker: ssh://deploy@app1}",
        "{name: app2, docker: 'ssh://root@APP1:22'}",
        error="73: deploy.hosts[1].docker: ssh://root@APP1:22 is the engine of app1, too; list it once",
    ),
    _hosts(
        "this machine twice",
        "{name: app1, docker: local}",
        "{name: app2, docker: local}",
        error="61: deploy.hosts[1].docker: local is the engine of app1, too; list it once",
    ),
    _hosts(
        "an address twice",
        "{name: app1, docker: ssh://app1, address: 10.0.0.1}",
        "{name: app2, docker: ssh://app2, address: 10.0.0.1}",
        error="106: deploy.hosts[1].address: 10.0.0.1 is the address of app1, too",
    ),
]
