"""`pipeline now`: what all pipelines are doing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from pipeline.base.home import Home
from pipeline.cli.session import json_option

if TYPE_CHECKING:
    from pipeline.http.responses.now import Answer, PipelineNowResponse, QuestionResponse


@click.command("now")
@json_option
def command(as_json: bool) -> None:
    """Print a sentence for each pipeline of the home, what is being done, and what waits for a user.

    No engine is asked. `pipeline status` has the containers and the targets of one pipeline.
    """
    from pipeline.balancer.planes import open_balancer
    from pipeline.http.now_report import NowReports
    from pipeline.store.store import Store

    home = Home.locate()
    with Store(home.database) as store:
        found = NowReports(home, store, open_balancer(home.balancer)).now(store.pipelines.files())
    if as_json:
        click.echo(json.dumps(found.as_data()))
        return
    if not found.pipelines:
        click.echo("this home has no pipeline yet; `pipeline run` or `pipeline serve` adds one", err=True)
    for each in found.pipelines:
        for line in _lines(each):
            click.echo(line)


def _lines(found: PipelineNowResponse) -> Iterator[str]:
    yield f"{found.pipeline}: {found.sentence}"
    yield from (f"  {problem}" for problem in found.problems)
    yield from (f"  {activity.text}" for activity in found.activities)
    for question in found.questions:
        commands = " or ".join(f"`{_command(found.pipeline, question, answer)}`" for answer in question.answers)
        yield f"  {question.text}: {commands}"


def _command(pipeline: str, question: QuestionResponse, answer: Answer) -> str:
    """Return the command that gives an answer."""
    name = "transition enable" if answer == "enable" else answer
    return f"pipeline {name} {question.service or question.stage or question.run} -p {pipeline}"
