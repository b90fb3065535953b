"""`pipeline balancer explain`: the rule that matches a request, and the reasons why earlier rules do not.

For a connection to a network load balancer: see `balancer_explain_flow`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import click

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.base.quantity import format_duration
from pipeline.base.time_limit import time_limit
from pipeline.cli.balancer_explain_flow import SCHEMES, explain_flow, flow_data, show_flow
from pipeline.cli.session import json_option

if TYPE_CHECKING:
    from pipeline.balancer.balancer import Balancer
    from pipeline.balancer.effective import EffectiveApplicationListener, EffectiveListener
    from pipeline.balancer.matching import HttpRequest, Mismatch
    from pipeline.balancer.model import Action

_PORTS = {"http": 80, "https": 443}
_PLACE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d+")
# Seconds for the evaluation of all rules, which takes milliseconds.
TIMEOUT = 10


@dataclass(frozen=True)
class Explanation:
    """The rule that matches a request, and the earlier ones that do not. `priority` is None for the default action."""

    shared: EffectiveApplicationListener
    misses: Sequence[Mismatch]
    priority: int | None
    owner: str
    action: Action


@click.command("explain", short_help="Explain where a request or a connection goes.")
@click.argument("url")
@click.option("-H", "headers", multiple=True, metavar="'NAME: VALUE'", help="Header of the request.")
@click.option("-X", "method", default="GET", show_default=True, metavar="METHOD", help="Method of the request.")
@click.option("--source", default="127.0.0.1", show_default=True, metavar="IP", help="Client address of the request.")
@json_option
def command(url: str, headers: tuple[str, ...], method: str, source: str, as_json: bool) -> None:
    """Show which rule matches a request for URL, why earlier rules do not, and where the request goes.

    For a network load balancer, URL is an address and a port: tcp://192.0.2.7:5432. The targets are listed with their
    shares of the new connections. Nothing is sent.
    """
    from pipeline.balancer.effective import effective_listeners
    from pipeline.balancer.planes import open_balancer

    split, balancer = _split(url), open_balancer(Home.locate().balancer)
    if split.scheme in SCHEMES:
        _show_flow(balancer, split, as_json=as_json)
        return
    listeners = effective_listeners(balancer.registry())
    shared, request = _listener(listeners, split), _request(split, url, headers, method, source)
    try:
        with time_limit(TIMEOUT):
            explanation = _explain(shared, request)
    except TimeoutError:
        raise ConfigError(
            f"the rules on port {shared.port} cannot be evaluated for this request within {TIMEOUT} s",
            hint="a regular expression of a condition backtracks too much, and HAProxy gives up on it",
        ) from None
    held = _held(balancer, explanation)
    if as_json:
        click.echo(json.dumps({**_as_data(explanation), "held": [*held]}))
        return
    _show(explanation)
    for name, time in held.items():
        click.echo(f"{name} is scaled to zero: the request waits for its first target, for at most {time}")


def _show_flow(balancer: Balancer, split: SplitResult, *, as_json: bool) -> None:
    assert split.hostname
    assert split.port
    explanation = explain_flow(balancer, split.scheme, split.hostname, split.port)
    if as_json:
        click.echo(json.dumps(flow_data(explanation)))
    else:
        show_flow(explanation)


def _split(url: str) -> SplitResult:
    try:
        # An address and a port alone are those of a connection.
        split = urlsplit(f"tcp://{url}" if _PLACE.fullmatch(url) else url)
        has_port = split.port is not None or split.scheme in _PORTS
        if split.scheme in (*_PORTS, *SCHEMES) and split.hostname and has_port and split.port != 0:
            return split
    except ValueError:
        pass
    raise ConfigError(f"{url} is not a valid URL", hint="http://shop.example.com:8080/path?key=value")


def _listener(listeners: Sequence[EffectiveListener], split: SplitResult) -> EffectiveApplicationListener:
    """Return the listener on the URL's port. Raises `ConfigError` if there is none for its protocol."""
    from pipeline.balancer.effective import EffectiveApplicationListener
    from pipeline.cli.balancer_format import format_listener

    port = split.port or _PORTS[split.scheme]
    shared = next((shared for shared in listeners if shared.port == port), None)
    if shared is None:
        known = "; ".join(map(format_listener, listeners))
        raise ConfigError(f"no listener has port {port}", hint=f"declared: {known}" if known else "nothing is declared")
    if not isinstance(shared, EffectiveApplicationListener):
        raise ConfigError(
            f"port {port} is of a network load balancer, which has no rules",
            hint=f"pipeline balancer explain tcp://{split.hostname}:{port}",
        )
    if shared.listener.secure != (split.scheme == "https"):
        hint = f"declared: {format_listener(shared)}"
        raise ConfigError(f"the listener on port {port} does not accept {split.scheme}", hint=hint)
    return shared


def _request(split: SplitResult, url: str, headers: Sequence[str], method: str, source: str) -> HttpRequest:
    from ipaddress import ip_address

    from pipeline.balancer.matching import HttpRequest

    pairs = tuple(_header(header) for header in headers)
    try:
        ip_address(source)
    except ValueError as error:
        raise ConfigError(f"--source {source}: must be an IP address such as 192.0.2.7") from error
    return HttpRequest(
        method=method,
        host=next((value for name, value in pairs if name.lower() == "host"), split.netloc.rpartition("@")[2]),
        path=split.path or "/",
        query=split.query if "?" in url.partition("#")[0] else None,
        headers=pairs,
        source=source,
    )


def _header(header: str) -> tuple[str, str]:
    name, colon, value = header.partition(":")
    if not colon or not name.strip():
        raise ConfigError(f"-H {header}: must have the form 'Name: value'")
    return name.strip(), value.strip()


def _explain(shared: EffectiveApplicationListener, request: HttpRequest) -> Explanation:
    from pipeline.balancer.matching import match, with_test_traffic

    taken, misses = match([owned.rule for owned in shared.rules], request)
    found = next((owned for owned in shared.rules if owned.rule is taken), None)
    if found is None:
        return Explanation(shared, misses, None, shared.owner, with_test_traffic(shared.default_action, request))
    action = with_test_traffic(found.rule.action, request)
    return Explanation(shared, misses, found.rule.priority, found.owner, action)


def _held(balancer: Balancer, found: Explanation) -> dict[str, str]:
    """Return the target groups that would hold the request, because they have no target, and for how long."""
    from pipeline.balancer.access import target_group_name
    from pipeline.balancer.model import ApplicationTargetGroup

    registry, held = balancer.registry(), {}
    for part in found.action.groups():
        group = registry.group(found.owner, part.target_group)
        targets = registry.registrations(found.owner, part.target_group)
        if isinstance(group, ApplicationTargetGroup) and group.hold_time and not any(one.admitted for one in targets):
            held[target_group_name(found.owner, part.target_group)] = format_duration(group.hold_time)
    return held


def _show(found: Explanation) -> None:
    from pipeline.cli.balancer_format import format_action, format_listener
    from pipeline.cli.console import show, table

    owners = {owned.rule.priority: owned.owner for owned in found.shared.rules}
    click.echo(format_listener(found.shared))
    rows = [(str(miss.rule.priority), owners[miss.rule.priority], f"no: {miss.reason}") for miss in found.misses]
    what = format_action(found.owner, found.action)
    rows.append((str(found.priority or "default"), found.owner, f"matches: {what}"))
    show(table(rows, "priority", "owner", "rule"))


def _as_data(found: Explanation) -> dict[str, Any]:
    from pipeline.balancer.overview import shares

    owners = {owned.rule.priority: owned.owner for owned in found.shared.rules}
    return {
        "port": found.shared.port,
        "load_balancer": {"name": found.shared.name, "owner": found.shared.owner},
        "misses": [
            {"priority": miss.rule.priority, "owner": owners[miss.rule.priority], "reason": miss.reason}
            for miss in found.misses
        ],
        "priority": found.priority or "default",
        "owner": found.owner,
        "action": found.action.model_dump(mode="json", exclude_none=True),
        "target_groups": [{"target_group": name, "share": share} for name, share in shares(found.owner, found.action)],
    }
