"""`pipeline balancer explain`: the rule that matches a request, and the reasons why earlier rules do not.

For a connection to a network load balancer: see `flow_view`. For a packet at an endpoint: see `packet_view`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.base.quantity import format_duration
from pipeline.base.time_limit import time_limit
from pipeline.cli.session import json_option

if TYPE_CHECKING:
    from pipeline.balancer.explanation import Explanation
    from pipeline.balancer.flow_explanation import FlowExplanation
    from pipeline.balancer.packet_explanation import PacketExplanation

# Seconds for the evaluation of all rules, which takes milliseconds.
TIMEOUT = 10


@click.command("explain", short_help="Explain where a request, a connection or a packet goes.")
@click.argument("url")
@click.option("-H", "headers", multiple=True, metavar="'NAME: VALUE'", help="Header of the request.")
@click.option("-X", "method", default="GET", show_default=True, metavar="METHOD", help="Method of the request.")
@click.option(
    "--source", default="127.0.0.1", show_default=True, metavar="IP", help="Client address, for a packet with its port."
)
@click.option("--endpoint", default="", metavar="NAME", help="Endpoint that gets a packet: NAME, NAME.OWNER or its id.")
@json_option
def command(url: str, headers: tuple[str, ...], method: str, source: str, endpoint: str, as_json: bool) -> None:
    """Show which rule matches a request for URL, why earlier rules do not, and where the request goes.

    For a network load balancer, URL is an address and a port: tcp://192.0.2.7:5432. The targets are listed with their
    shares of the new connections.

    For a gateway load balancer, name an endpoint and the packet that arrives there: --endpoint office --source
    198.18.0.5:40000 tcp://198.18.1.10:443. The appliance of a new flow is shown with the reason. Nothing is sent.
    """
    from pipeline.balancer.explanation import Question
    from pipeline.balancer.planes import open_balancer
    from pipeline.http.explanation_report import answer, explanation_response

    question, balancer = Question(url, method, headers, source, endpoint), open_balancer(Home.locate().balancer)
    try:
        with time_limit(TIMEOUT):
            found = answer(balancer, question)
    except TimeoutError:
        raise ConfigError(
            f"the rules on port {question.port} cannot be evaluated for this request within {TIMEOUT} s",
            hint="a regular expression of a condition backtracks too much, and HAProxy gives up on it",
        ) from None
    if as_json:
        click.echo(json.dumps(explanation_response(found).as_data()))
    else:
        _show(found)


def _show(found: Explanation | FlowExplanation | PacketExplanation) -> None:
    from pipeline.balancer.flow_explanation import FlowExplanation
    from pipeline.balancer.packet_explanation import PacketExplanation
    from pipeline.cli.flow_view import show_flow
    from pipeline.cli.packet_view import show_packet

    if isinstance(found, FlowExplanation):
        show_flow(found)
    elif isinstance(found, PacketExplanation):
        show_packet(found)
    else:
        _show_rule(found)


def _show_rule(found: Explanation) -> None:
    from pipeline.balancer.rule_text import format_action, format_listener
    from pipeline.cli.console import show, table

    click.echo(format_listener(found.shared))
    rows = [(str(miss.rule.priority), found.owners[miss.rule.priority], f"no: {miss.reason}") for miss in found.misses]
    what = format_action(found.owner, found.action)
    rows.append((str(found.priority or "default"), found.owner, f"matches: {what}"))
    show(table(rows, "priority", "owner", "rule"))
    for name, time in found.held.items():
        text = f"{name} is scaled to zero: the request waits for its first target, for at most {format_duration(time)}"
        click.echo(text)
