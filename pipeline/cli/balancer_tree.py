"""A view of the load balancer as a tree: load balancer → listener → rule → target group → target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import click

from pipeline.balancer.effective import SharedListener
from pipeline.balancer.model import TargetHealth
from pipeline.balancer.telemetry.metrics import address_of
from pipeline.cli.balancer_format import action_in_words, condition_in_words
from pipeline.cli.balancer_view import Row, View, rows

_COLOURS = {"healthy": "green", "initial": "cyan", "draining": "yellow", "unhealthy": "red", "unused": "bright_black"}


@dataclass(frozen=True)
class _Node:
    text: str
    children: Sequence[_Node] = field(default=())

    def lines(self) -> Iterator[str]:
        yield self.text
        for child in self.children:
            last = child is self.children[-1]
            first, *rest = child.lines()
            yield f"{'└─' if last else '├─'} {first}"
            yield from (f"{'  ' if last else '│ '} {line}" for line in rest)


def tree(view: View) -> Iterator[str]:
    """Its lines, with colours."""
    if not view.targets:
        yield "nothing is declared"
        return
    shown: set[str] = set()
    for (owner, name), listeners in view.load_balancers().items():
        title = f"load balancer {click.style(name, bold=True)} of {owner}, {listeners[0].balancer.scheme}"
        yield from _Node(title, [_listener(view, shared, shown) for shared in listeners]).lines()
    if unused := [group for group in view.targets if group not in shown]:
        yield from _Node("no listener", [_group(view, group, "", shown) for group in unused]).lines()
    yield ""
    yield f"requests a second and answers of 5XX: over {view.traffic.seconds:.0f} s"


def _listener(view: View, shared: SharedListener, shown: set[str]) -> _Node:
    found = list(rows(shared))
    width = max(len(str(row.priority or "default")) for row in found)
    owners = max(len(row.owner) for row in found)
    return _Node(shared.listener.url, [_rule(view, row, width, owners, shown) for row in found])


def _rule(view: View, row: Row, width: int, owners: int, shown: set[str]) -> _Node:
    conditions = ", ".join(map(condition_in_words, row.conditions))
    what = action_in_words(row.owner, row.action)
    text = f"{row.priority or 'default':<{width}}  {row.owner:<{owners}}  {conditions or 'all others'}"
    groups = [_group(view, name, f" {share:g} %", shown) for name, share in row.shares()]
    return _Node(f"{text} → {what}", groups)


def _group(view: View, group: str, share: str, shown: set[str]) -> _Node:
    """A group with its targets, where they come first."""
    if group in shown:
        return _Node(f"{group}{share}, as above")
    shown.add(group)
    return _Node(f"{group}{share}", _targets(view, group) or [_Node("no targets")])


def _targets(view: View, group: str) -> list[_Node]:
    targets = view.targets[group]
    width = max((len(health.target.id) for health in targets), default=0)
    return [_Node(_target(view, group, health, width)) for health in targets]


def _target(view: View, group: str, health: TargetHealth, width: int) -> str:
    address = address_of(health)
    state = click.style(f"{health.state:<9}", fg=_COLOURS.get(health.state))
    rate, errors = view.traffic.rate(group, address), view.traffic.errors[group, address]
    text = f"{health.target.id:<{width}}  {state}  {address}  {health.in_flight} in flight  {rate:.1f}/s  {errors} 5XX"
    return f"{text}  {': '.join(filter(None, (health.reason, health.description)))}".rstrip()
