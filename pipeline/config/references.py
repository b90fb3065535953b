"""What one part of a pipeline.yaml says of another: checked on the data, so that a flaw elsewhere hides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.config.document import Document, KeyPath
from pipeline.config.suggestion import did_you_mean
from pipeline.errors import Problem


def dangling(document: Document, data: dict[str, Any]) -> Iterator[Problem]:
    """References to target groups that are not there, ports that are used twice, groups that nothing reaches."""
    groups = _mapping(data, "balancer", "target_groups")
    wanted = _mapping(data, "deploy").get("target_group")
    if groups and isinstance(wanted, str) and wanted not in groups:
        yield document.problem(
            ("deploy", "target_group"), f"there is no target group {wanted}", did_you_mean(wanted, groups)
        )
    forwarded = set()
    ports: dict[Any, KeyPath] = {}
    for path, listener in _listeners(data):
        group = _mapping(listener, "default_action").get("forward")
        forwarded.add(str(group))
        if groups and isinstance(group, str) and group not in groups:
            where = (*path, "default_action", "forward")
            yield document.problem(where, f"there is no target group {group}", did_you_mean(group, groups))
        port = listener.get("port")
        if isinstance(port, int) and port in ports:
            line = document.place(ports[port])[0]
            yield document.problem((*path, "port"), f"port {port} is taken by the listener in line {line}")
        elif isinstance(port, int):
            ports[port] = (*path, "port")
    known = isinstance(wanted, str) and wanted in groups and forwarded <= groups.keys()
    if known and forwarded and wanted not in forwarded:
        yield document.problem(
            ("deploy", "target_group"),
            f"no listener forwards to {wanted}, so nobody could reach what is deployed",
            f"add default_action: {{forward: {wanted}}} to a listener",
        )


def _listeners(data: dict[str, Any]) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    for name, balancer in _mapping(data, "balancer", "load_balancers").items():
        listeners = balancer.get("listeners") if isinstance(balancer, dict) else None
        for index, listener in enumerate(listeners if isinstance(listeners, list) else []):
            if isinstance(listener, dict):
                yield ("balancer", "load_balancers", name, "listeners", index), listener


def _mapping(data: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}
