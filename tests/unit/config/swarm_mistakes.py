"""Mistakes with `runtime: swarm` and in `swarm`, with the exact errors."""

from __future__ import annotations

from tests.unit.config.mistakes import Bad


def _swarm(mistake: str, line: str, error: str) -> Bad:
    """Return a mistake in a line after `runtime: swarm`. `error` begins with the column in line 12."""
    return Bad(mistake, "  replicas: 3", f"  replicas: 3\n  runtime: swarm\n  {line}", f"12:{error}")


_ATTRIBUTES = "node.id, node.hostname, node.role, node.ip, node.platform.os, node.platform.arch"

SWARM_MISTAKES = [
    Bad(
        "settings of a Swarm without one",
        "  replicas: 3",
        "  replicas: 3\n  swarm: {secrets: [db]}",
        "11:10: deploy.swarm: requires runtime: swarm in deploy; remove it, or set the runtime",
    ),
    _swarm(
        "a placement of hosts on a Swarm",
        "placement: pack",
        "14: deploy.placement: does not fit runtime: swarm, which chooses itself; use swarm.preferences",
    ),
    _swarm(
        "a constraint without an operator",
        "swarm: {constraints: [ssd]}",
        "25: deploy.swarm.constraints[0]: 'ssd' is not a constraint; write such as node.labels.disk==ssd or "
        "node.role!=manager",
    ),
    _swarm(
        "a constraint on what a node does not have",
        "swarm: {constraints: [node.disk==ssd]}",
        "25: deploy.swarm.constraints[0]: 'node.disk==ssd' has no attribute of a node; write node.labels.NAME, "
        f"engine.labels.NAME, {_ATTRIBUTES}",
    ),
    _swarm(
        "a constraint with a value that a Swarm refuses",
        "swarm: {constraints: ['node.labels.disk==ssd;x']}",
        "25: deploy.swarm.constraints[0]: 'node.labels.disk==ssd;x' has a value that a Swarm refuses; use letters, "
        "digits, spaces and .:-_/",
    ),
    _swarm(
        "a preference that is no label",
        "swarm: {preferences: [{spread: rack}]}",
        "34: deploy.swarm.preferences[0].spread: 'rack' is not a label of nodes; write such as node.labels.rack",
    ),
    _swarm(
        "a secret that is a number",
        "swarm: {secrets: [1]}",
        "21: deploy.swarm.secrets[0]: must be the name of a secret, got 1; write db-password",
    ),
    _swarm(
        "a secret with a slash",
        "swarm: {secrets: [a/b]}",
        "21: deploy.swarm.secrets[0]: 'a/b' is not a name of a secret; use letters, digits, and . - _ between them",
    ),
    _swarm(
        "a secret outside its folder",
        "swarm: {secrets: [{name: db, file: ../db}]}",
        "38: deploy.swarm.secrets[0].file: '../db' is not a name of a file in /run/secrets; use letters, digits and "
        ". - _",
    ),
    _swarm(
        "GPUs on a Swarm",
        "gpus: all",
        "9: deploy.gpus: does not fit runtime: swarm, which gives no devices; use runtime: docker with hosts",
    ),
    _swarm(
        "a device on a Swarm",
        "devices: [/dev/net/tun]",
        "12: deploy.devices: does not fit runtime: swarm, which gives no devices; use runtime: docker with hosts",
    ),
    _swarm(
        "a size of /dev/shm on a Swarm",
        "shm_size: 64m",
        "13: deploy.shm_size: does not fit runtime: swarm; write tmpfs: ['/dev/shm:size=64m'] instead",
    ),
    _swarm(
        "the address of Docker's machine on a Swarm",
        "extra_hosts: ['db:host-gateway']",
        "17: deploy.extra_hosts[0]: host-gateway does not fit runtime: swarm; write an address that all nodes reach",
    ),
    _swarm(
        "an option of a folder in memory that a Swarm does not have",
        "tmpfs: ['/run:size=1m,uid=5']",
        "11: deploy.tmpfs[0]: uid=5 does not fit runtime: swarm, which knows size and mode; write size=64m",
    ),
    _swarm(
        "a command in a container that cannot be reached",
        "on_drain: {command: [drain]}",
        "13: deploy.on_drain: runs in the container, so runtime: swarm needs the engines of its nodes; list them in "
        "deploy.hosts, or use http",
    ),
    _swarm(
        "a node with the name of the Swarm",
        "hosts: [{name: swarm, docker: ssh://a}]",
        "18: deploy.hosts[0].name: swarm names the Swarm of this machine; choose another name",
    ),
]
