"""The overview of the balancer as a tree: load balancer → listener → rule → target group → target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from pipeline.balancer.effective import EffectiveListener
from pipeline.balancer.effective_endpoints import EffectiveEndpoint
from pipeline.balancer.model import TargetHealth
from pipeline.balancer.model.endpoint import EntryPoint
from pipeline.balancer.overview import Overview, RuleRow, rule_rows
from pipeline.balancer.rule_text import format_action, format_conditions, format_place
from pipeline.balancer.telemetry.traffic import address_of
from pipeline.cli.target_styles import TARGET_STYLES

_NO_HOSTS: Mapping[str, str] = MappingProxyType({})


def draw(overview: Overview, hosts: Mapping[str, str] = _NO_HOSTS) -> RenderableType:
    """Return the trees of all load balancers, then the groups that no listener uses.

    `hosts` has the host of each target that is not on the local engine alone, by its id.
    """
    if not overview.targets:
        return _text("nothing is declared")
    trees = list(_Forest(overview, hosts).trees())
    window = f"requests per second and 5XX responses: over {overview.traffic.seconds:.0f} s"
    return Group(*trees, "", _text(window))


class _Forest:
    """Builds the trees. The targets of a group are listed at its first occurrence."""

    def __init__(self, overview: Overview, hosts: Mapping[str, str]) -> None:
        self._overview = overview
        self._hosts = hosts
        self._listed: set[str] = set()

    def trees(self) -> Iterator[Tree]:
        for (owner, name), listeners in self._overview.load_balancers().items():
            balancer = listeners[0].balancer
            kind = "" if balancer.type == "application" else f"{balancer.type} "
            scheme = f", {balancer.scheme}" if isinstance(balancer, EntryPoint) else ""
            tree = Tree(_text(f"{kind}load balancer ", (name, "bold"), f" of {owner}{scheme}"))
            for zone, address, node in self._overview.nodes_of(listeners[0]):
                state, style = ("healthy", "green") if node.healthy else ("unhealthy", "red")
                tree.add(
                    _text(
                        f"{zone}  {f'{address}  ' if address else ''}",
                        (state, style),
                        f"  {node.reason}" if node.reason else "",
                    )
                )
            for found in self._overview.endpoints.get((owner, name), ()):
                tree.add(_endpoint(found))
            for shared in listeners:
                self._add_listener(tree, shared)
            yield tree
        if unused := [group for group in self._overview.targets if group not in self._listed]:
            tree = Tree(_text("no listener"))
            for group in unused:
                self._add_group(tree, group, "")
            yield tree

    def _add_listener(self, tree: Tree, shared: EffectiveListener) -> None:
        choice = self._overview.planes.get(shared.number)
        branch = tree.add(_text(format_place(shared), f", {choice}" if choice else ""))
        rows = list(rule_rows(shared))
        width = max(len(str(row.priority or "default")) for row in rows)
        owners = max(len(row.owner) for row in rows)
        for row in rows:
            node = branch.add(_text(f"{row.priority or 'default':<{width}}  {row.owner:<{owners}}  {_rule(row)}"))
            for group, share in row.shares():
                self._add_group(node, group, f" {share:g} %")

    def _add_group(self, tree: Tree, group: str, share: str) -> None:
        if group in self._listed:
            tree.add(_text(f"{group}{share}, as above"))
            return
        self._listed.add(group)
        branch = tree.add(_text(f"{group}{share}"))
        targets = self._overview.targets[group]
        for label in self._targets(group, targets) if targets else [_text(self._without_targets(group))]:
            branch.add(label)

    def _targets(self, group: str, targets: Sequence[TargetHealth]) -> Iterator[Text]:
        width = max(len(health.target.id) for health in targets)
        for health in targets:
            host = self._hosts.get(health.target.id, "")
            reason = ": ".join(filter(None, (health.reason, health.description)))
            yield _text(
                f"{health.target.id:<{width}}  ",
                (f"{health.state:<9}", TARGET_STYLES.get(health.state, "")),
                f"  {address_of(health)}  {self._traffic(group, health)}",
                f"  {health.target.zone}" if health.target.zone else "",
                f"  on {host}" if host else "",
                f"  {reason}" if reason else "",
            )

    def _without_targets(self, group: str) -> str:
        held = self._overview.held.get(group)
        return "no targets" if held is None else f"scaled to zero: {held} requests wait for a first target"

    def _traffic(self, group: str, health: TargetHealth) -> str:
        if group in self._overview.of_connections:
            return f"{health.in_flight} {'flows' if group in self._overview.of_packets else 'connections'}"
        traffic, address = self._overview.traffic, address_of(health)
        rate, errors = traffic.rate(group, address), traffic.errors[group, address]
        return f"{health.in_flight} in flight  {rate:.1f}/s  {errors} 5XX"


def _endpoint(found: EffectiveEndpoint) -> Text:
    networks = ", ".join(found.endpoint.settings.networks)
    style = "red" if found.reason else "green"
    return _text(f"{found.endpoint.label}  {networks}  ", (str(found.state), style), f"  {found.reason}".rstrip())


def _rule(row: RuleRow) -> str:
    return f"{format_conditions(row.conditions)} → {format_action(row.owner, row.action)}"


def _text(*parts: str | tuple[str, str]) -> Text:
    """Return one line. A view that is too narrow cuts it instead of wrapping it."""
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
