"""The picture of one load balancer: its nodes and listeners, their rules, the target groups, and the targets.

Columns from left to right. A line is as wide as its requests a second, on a logarithmic scale, with the number beside
it. A way that is lit up is known by its thick frames too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from pipeline.http.responses.balancer import BalancerResponse, LoadBalancerResponse, RuleResponse, ShareResponse
from pipeline.web.icons import shape
from pipeline.web.svg import svg
from pipeline.web.topology.box import Box, line, line_of_text
from pipeline.web.topology.shown_rules import ShownRules, total_rate
from pipeline.web.topology.target_boxes import WIDTH as TARGET_WIDTH
from pipeline.web.topology.target_boxes import TargetBoxes
from pipeline.web.topology.way import Way
from pipeline.web.topology.words import counts_text, cut, cut_start, place_text, rate_text

_LISTENER, _RULE, _GROUP, _TARGET = 1, 250, 650, 895
_LISTENER_WIDTH, _RULE_WIDTH, _GROUP_WIDTH = 190, 280, 185
_WIDTH = _TARGET + TARGET_WIDTH + 1
_GAP = 8
# Rules have one line of text if there are many, and two otherwise.
_LOW, _HIGH, _MANY = 24.0, 38.0, 20
# Groups with more targets are drawn by marks.
MAX_TARGETS = 40
# If there are more in all, so are groups with more than a few.
_MAX_TOTAL, _FEW = 120, 8


Port = tuple[tuple[float, float], ShareResponse, bool | None]
"""Where the line from a rule to a target group begins, the share that it stands for, and whether it is lit."""


@dataclass(frozen=True)
class DrawnRules:
    """The left half of a picture, and the ports of each target group."""

    svg: Markup
    ports: Mapping[str, Sequence[Port]]


@dataclass
class RulesPicture:
    """Draws a load balancer, its nodes and listeners, and the rules."""

    balancer: LoadBalancerResponse
    rules: Sequence[ShownRules]
    way: Way | None = None
    _ports: dict[str, list[Port]] = field(default_factory=dict)

    def draw(self) -> DrawnRules:
        """Return the SVG element, which the other half describes, and where that one begins."""
        drawn, last = [*self._head(), *self._draw_endpoints()], 0.0
        y = 44.0 + 40 * (len(self.balancer.zones) + len(self.balancer.endpoints))
        for shown in self.rules:
            last, y = y, self._draw_listener(drawn, shown, y) + 2 * _GAP
        stem = svg("path", d=f"M{_LISTENER + 6} 39V{last:g}", class_="stem")
        return DrawnRules(_canvas(y, stem, *drawn, aria_hidden="true"), self._ports)

    def _head(self) -> Iterator[Markup]:
        balancer, way = self.balancer, self.way
        kind = "" if balancer.type == "application" else f"{balancer.type} "
        box = Box(_LISTENER, 1, _LISTENER_WIDTH, 38, way.has_balancer(balancer) if way else None)
        yield box.draw(
            "balancer",
            line_of_text(box.x + 8, 17, cut(balancer.name, 24)),
            line_of_text(box.x + 8, 32, cut(f"{kind}load balancer of {balancer.owner}", 30), "detail"),
            tip=f"{kind}load balancer {balancer.name} of {balancer.owner}"
            + (f", {balancer.scheme}" if balancer.scheme else ""),
        )
        for number, zone in enumerate(balancer.zones):
            state = "healthy" if zone.healthy else "unhealthy"
            node = Box(_LISTENER + 12, 44.0 + 40 * number, _LISTENER_WIDTH - 12, 34)
            yield node.draw(
                f"zone {state}",
                shape(state, 14, x=node.x + 6, y=node.y + 4),
                line_of_text(node.x + 26, node.y + 15, cut(f"{zone.zone}: {state}", 22)),
                line_of_text(node.x + 26, node.y + 29, cut(zone.address or "", 24), "detail"),
                tip=f"node {', '.join(filter(None, (zone.zone, zone.address)))}: {state}"
                + (f", {zone.reason}" if zone.reason else ""),
            )

    def _draw_endpoints(self) -> Iterator[Markup]:
        """Draw the endpoints of a gateway load balancer below its zones."""
        for number, found in enumerate(self.balancer.endpoints, len(self.balancer.zones)):
            state = "unhealthy" if found.reason else "healthy"
            box = Box(_LISTENER + 12, 44.0 + 40 * number, _LISTENER_WIDTH - 12, 34)
            networks = ", ".join(found.networks)
            yield box.draw(
                f"zone {state}",
                shape(state, 14, x=box.x + 6, y=box.y + 4),
                line_of_text(box.x + 26, box.y + 15, cut(f"{found.name}: {found.state}", 22)),
                line_of_text(box.x + 26, box.y + 29, cut(networks, 24), "detail"),
                tip=f"endpoint {found.name} of {found.owner}, {networks}: {found.state}"
                + (f", {found.reason}" if found.reason else ""),
            )

    def _draw_listener(self, drawn: list[Markup], shown: ShownRules, y: float) -> float:
        """Draw a listener beside its rules, and return the position below both."""
        way, listener = self.way, shown.listener
        is_lit = way.has_listener(self.balancer, listener) if way else None
        box = Box(_LISTENER, y, _LISTENER_WIDTH, 38, is_lit)
        urls = place_text(listener)
        detail = f"{listener.protocol} {rate_text(total_rate(listener.rules))}"
        rules, bottom = self._draw_rules(shown, y, box.right)
        drawn += rules
        drawn.append(
            box.draw(
                "listener",
                line_of_text(box.x + 8, y + 16, cut_start(listener.urls[0] if listener.urls else urls, 24)),
                line_of_text(box.x + 8, y + 32, cut(detail, 30), "detail"),
                tip=f"{urls}, {listener.protocol}{f', {listener.plane_reason}' if listener.plane_reason else ''}",
            )
        )
        return max(bottom, box.bottom)

    def _draw_rules(self, shown: ShownRules, y: float, begin: tuple[float, float]) -> tuple[list[Markup], float]:
        drawn = list[Markup]()
        for folded, where in ((shown.before, "before"), (None, ""), (shown.after, "after")):
            if folded is None:
                for rule in shown.rules:
                    box = self._rule_box(shown, rule, y)
                    drawn.append(line(begin, box.left, rule.requests_per_second, is_lit=box.is_lit))
                    drawn.append(self._draw_rule(box, rule))
                    y = box.bottom + _GAP
            elif folded:
                box = Box(_RULE, y, _RULE_WIDTH, 24, False if self.way else None)
                rate = total_rate(folded)
                text = f"{_count(len(folded), 'rule')} {where} these, {rate_text(rate)}"
                drawn += [line(begin, box.left, rate, is_lit=box.is_lit), _folded(box, text)]
                y = box.bottom + _GAP
        return drawn, y - _GAP

    def _rule_box(self, shown: ShownRules, rule: RuleResponse, y: float) -> Box:
        is_lit = self.way.has_rule(self.balancer, shown.listener, rule) if self.way else None
        least = _LOW if len(shown.rules) > _MANY else _HIGH
        return Box(_RULE, y, _RULE_WIDTH, max(least, 18.0 * len(rule.target_groups) + 4), is_lit)

    def _draw_rule(self, box: Box, rule: RuleResponse) -> Markup:
        x, y, texts = box.x, box.y, list[Markup]()
        step = box.height / max(1, len(rule.target_groups))
        for number, share in enumerate(rule.target_groups):
            port = (x + box.width, y + step * (number + 0.5))
            is_lit = box.is_lit if box.is_lit is None else box.is_lit and share.share > 0
            self._ports.setdefault(share.target_group, []).append((port, share, is_lit))
            if label := _label(rule, share):
                kind = "label moving" if share.alternate_of else "label"
                texts.append(line_of_text(port[0] + 6, port[1] - 4, label, kind))
        title, rate = f"{rule.priority} {rule.matches}", rate_text(rule.requests_per_second)
        content = [line_of_text(x + box.width - 8, y + box.height - 6, rate, "detail", "end")]
        if box.height < _HIGH:
            content.append(line_of_text(x + 8, y + 16, cut(title, 30)))
        else:
            second = rule.owner if rule.target_groups else f"{rule.owner}, {rule.effect}"
            content += [
                line_of_text(x + 8, y + 16, cut(title, 38)),
                line_of_text(x + 8, y + 32, cut(second, 32), "detail"),
            ]
        tip = f"rule {rule.priority} of {rule.owner}: {rule.matches} → {rule.effect}"
        return svg("g", box.draw("rule", *content, tip=tip), *texts)


@dataclass(frozen=True)
class TargetsPicture:
    """Draws the target groups, the lines to them, and their targets. `number` is unique on the page."""

    number: int
    balancer: LoadBalancerResponse
    report: BalancerResponse
    ports: Mapping[str, Sequence[Port]]
    way: Way | None = None

    def draw(self) -> Markup:
        """Return the SVG element, which says what the whole picture shows."""
        drawn, height = self._draw_groups()
        title, description = f"picture-{self.number}-title", f"picture-{self.number}-text"
        return _canvas(
            height,
            svg("title", f"Load balancer {self.balancer.name} of {self.balancer.owner}", id=title),
            svg("desc", self.summary(), id=description),
            *drawn,
            role="img",
            aria_labelledby=f"{title} {description}",
        )

    def summary(self) -> str:
        """Return what the picture shows, in two sentences."""
        targets = [one for name in self.ports for one in self.report.target_groups.get(name, ())]
        rules = sum(len(listener.rules) for listener in self.balancer.listeners)
        return (
            f"{_count(len(self.balancer.listeners), 'listener')}, {_count(rules, 'rule')}, "
            f"{_count(len(self.ports), 'target group')}. Targets: {counts_text(targets)}. "
            "The list that follows says the same."
        )

    def _draw_groups(self) -> tuple[list[Markup], float]:
        drawn, y = list[Markup](), 1.0
        total = sum(len(self.report.target_groups.get(name, ())) for name in self.ports)
        for name, ports in self.ports.items():
            targets = self.report.target_groups.get(name, ())
            is_large = len(targets) > MAX_TARGETS or (total > _MAX_TOTAL and len(targets) > _FEW)
            boxes = TargetBoxes(name, targets, is_large, self.way, dict(self.report.hosts))
            height = max(boxes.height, 38)
            middle = sum(port[1] for port, _, _ in ports) / len(ports)
            y = max(y, middle - height / 2)
            is_lit = name in self.way.groups and any(lit for _, _, lit in ports) if self.way else None
            box = Box(_GROUP, y + height / 2 - 19, _GROUP_WIDTH, 38, is_lit)
            drawn += [line(port, box.left, share.requests_per_second, is_lit=lit) for port, share, lit in ports]
            drawn += boxes.draw(_TARGET, y, box.right)
            drawn.append(self._group(box, name))
            y += height + 2 * _GAP
        return drawn, y

    def _group(self, box: Box, name: str) -> Markup:
        targets, held = self.report.target_groups.get(name, ()), self.report.held.get(name)
        text = counts_text(targets) if targets or held is None else f"scaled to zero, {held} waiting"
        return box.draw(
            "group",
            line_of_text(box.x + 8, box.y + 16, cut_start(name, 24)),
            line_of_text(box.x + 8, box.y + 32, cut(text, 28), "detail"),
            tip=f"target group {name}: {text}",
        )


def _canvas(bottom: float, *children: Markup, **attributes: object) -> Markup:
    """Return the SVG element of one half. Both halves lie upon each other."""
    height = bottom + 2
    size = {"viewBox": f"0 0 {_WIDTH} {height:g}", "width": _WIDTH, "height": height}
    return svg("svg", *children, **size, **attributes, class_="topology")


def _label(rule: RuleResponse, share: ShareResponse) -> str:
    """Return the text on the line from a rule to one of its groups: its share and its rate.

    With one group, both lines of the rule have the rate that is in its box.
    """
    if len(rule.target_groups) == 1:
        return ""
    return f"{share.share:g} % {rate_text(share.requests_per_second)}".rstrip()


def _folded(box: Box, text: str) -> Markup:
    return box.draw("folded", line_of_text(box.x + 8, box.y + 16, text, "detail"))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
