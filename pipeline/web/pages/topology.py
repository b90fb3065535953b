"""The page Topology: the load balancers with their rules, target groups and targets, and the way of a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.balancer.explanation import Question
from pipeline.base.errors import ConfigError
from pipeline.base.whole_number import whole_number
from pipeline.http.responses.balancer import (
    BalancerResponse,
    LoadBalancerResponse,
    ShareResponse,
    TargetHealthResponse,
)
from pipeline.web.page import Page, Parts, ViewContext
from pipeline.web.recent_results import RecentResults
from pipeline.web.slots import slot
from pipeline.web.topology import words
from pipeline.web.topology.picture import MAX_TARGETS, Port, RulesPicture, TargetsPicture
from pipeline.web.topology.shown_rules import page_count, page_of, shown_rules
from pipeline.web.topology.target_boxes import MAX_BOXES, mark_patterns, with_problems
from pipeline.web.topology.way import Way

_MAX_EXITS = 5
# An open page has a place for each load balancer that may come. ELB's quota is 50.
_PLACES = 100
# Load balancers whose rules are remembered, of the pages that were rendered last.
_RECENT = 64
_EMPTY = Markup('<section id="{}" hidden></section>')


@dataclass(frozen=True)
class _Answer:
    """What is known of the request in the box: its way, or why there is none."""

    way: Way | None = None
    problem: ConfigError | None = None


@dataclass(frozen=True)
class _ListedGroup:
    """A target group of the list: all of its targets, or those with problems of very many."""

    name: str
    targets: Sequence[TargetHealthResponse]
    listed: Sequence[TargetHealthResponse]
    held: int | None

    @classmethod
    def of(cls, report: BalancerResponse, name: str) -> _ListedGroup:
        targets = report.target_groups.get(name, ())
        listed = targets if len(targets) <= MAX_TARGETS else with_problems(targets)[:MAX_BOXES]
        return cls(name, targets, listed, report.held.get(name))

    @property
    def counts(self) -> str:
        """The number of targets in each state."""
        return words.counts_text(self.targets)


def _view(context: ViewContext) -> Parts:
    report, answer = context.reports.shared("balancer", context.reports.balancer.report), _answer(context)
    parts: dict[str, Markup] = {
        "marks": context.part("topology/marks.html", marks=mark_patterns()),
        "news": context.part(
            "topology/news.html",
            balancers=len(report.load_balancers),
            shown=_PLACES,
            counts=words.counts_text([one for found in report.target_groups.values() for one in found]),
            exits=list(report.exits)[-_MAX_EXITS:],
        ),
        "answer": context.part("topology/answer.html", way=answer.way, problem=answer.problem),
    }
    for number in range(_PLACES):
        there = report.load_balancers[number : number + 1]
        name = f"balancer-{number}"
        parts |= _parts(context, report, answer.way, number, there[0]) if there else {name: _EMPTY.format(name)}
    used = {share.target_group for each in report.load_balancers for share in _shares(each)}
    unused = [_ListedGroup.of(report, name) for name in report.target_groups if name not in used]
    parts["unused"] = context.part("topology/unused.html", groups=unused, hosts=report.hosts, words=words)
    return parts


def _parts(
    context: ViewContext, report: BalancerResponse, way: Way | None, number: int, balancer: LoadBalancerResponse
) -> dict[str, Markup]:
    """Return the part of a load balancer with its rules, and the parts inside it, of its targets."""
    recent = context.reports.kept("topology", lambda: RecentResults(_RECENT))
    outer, ports = recent.get(
        (number, *sorted(context.arguments.items())),
        (balancer, way),
        lambda: _with_rules(context, way, number, balancer),
    )
    groups = [_ListedGroup.of(report, name) for name in ports]
    return {
        f"balancer-{number}": outer,
        f"targets-{number}": context.part(
            "topology/targets.html", number=number, picture=TargetsPicture(number, balancer, report, ports, way).draw()
        ),
        f"groups-{number}": context.part(
            "topology/groups.html", number=number, groups=groups, hosts=report.hosts, way=way, words=words
        ),
    }


def _with_rules(
    context: ViewContext, way: Way | None, number: int, balancer: LoadBalancerResponse
) -> tuple[Markup, Mapping[str, Sequence[Port]]]:
    """Return the part of a load balancer without its targets, and where the lines to its target groups begin."""
    pages = page_count(balancer)
    asked = whole_number(context.arguments.get("rules", ""), pages)
    page = asked or page_of(balancer, way)
    rules = shown_rules(balancer, page)
    drawn = RulesPicture(balancer, rules, way).draw()
    part = context.part(
        "topology/balancer.html",
        number=number,
        balancer=balancer,
        picture=drawn.svg,
        targets=slot(f"targets-{number}"),
        groups=slot(f"groups-{number}"),
        rules=rules,
        way=way,
        page=page,
        pages=pages,
        links={**context.arguments, "rules": ""},
        words=words,
    )
    return part, drawn.ports


def _answer(context: ViewContext) -> _Answer:
    given = context.arguments
    if not given.get("url"):
        return _Answer()
    lines = given.get("headers", "").splitlines()
    question = Question(
        given["url"].strip(),
        given.get("method", "").strip() or "GET",
        [line for line in lines if line.strip()],
        given.get("source", "").strip() or "127.0.0.1",
    )
    try:
        return _Answer(Way.from_explanation(context.reports.balancer.explanation(question)))
    except ConfigError as problem:
        return _Answer(problem=problem)


def _shares(balancer: LoadBalancerResponse) -> Iterator[ShareResponse]:
    for listener in balancer.listeners:
        for rule in listener.rules:
            yield from rule.target_groups


PAGES = (
    Page(
        "/topology",
        "topology",
        "Topology",
        "topology/page.html",
        _view,
        label="Topology",
        rank=20,
        query=("url", "method", "headers", "source", "rules"),
        styles=("topology.css",),
    ),
)
