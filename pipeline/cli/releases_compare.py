"""`pipeline releases compare`: the difference of two releases."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.errors import ConfigError
from pipeline.base.printable import escape_line
from pipeline.base.whole_number import LARGEST
from pipeline.cli.session import json_option, pipeline_options, session

if TYPE_CHECKING:
    from pipeline.http.responses.release_difference import CommitResponse, ReleaseDifferenceResponse

_number = click.IntRange(1, LARGEST)


@click.command("compare")
@click.argument("first", metavar="RELEASE", type=_number)
@click.argument("second", metavar="[RELEASE]", type=_number, required=False)
@pipeline_options
@json_option
def command(first: int, second: int | None, file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Show what differs between two releases: commits, images and configuration. Default: compare with the active one.

    A line with + is of the second release only, a line with - of the first one. Values of secrets are hidden.
    """
    from pipeline.http.release_difference import release_difference
    from pipeline.runner.context import PipelineContext

    with session(file, parameters) as opened:
        context = PipelineContext(opened.home, opened.configuration, opened.store)
        active = opened.store.releases.active(opened.name)
        if second is None and active is None:
            raise ConfigError(f"{opened.name} has no active release", hint="name two releases")
        if second is None and active and active.number == first:
            raise ConfigError(f"release {first} is the active one", hint="name two releases")
        found = release_difference(context, first, second or (active.number if active else 0))
    click.echo(json.dumps(found.as_data()) if as_json else "\n".join(map(escape_line, _lines(found))))


def _lines(found: ReleaseDifferenceResponse) -> Iterator[str]:
    yield f"release {found.before.number} → release {found.after.number}"
    if found.added is None or found.removed is None:
        yield f"commits: not known, {found.before.sha[:7]} → {found.after.sha[:7]}"
    else:
        yield from _section("commits", [*_commits("+", found.added), *_commits("-", found.removed)])
    images = [f"  {each.service}: {each.before or 'none'} → {each.after or 'none'}" for each in found.images]
    yield from _section("images", images)
    changes = [
        line
        for each in found.configuration
        for sign, value in (("-", each.before), ("+", each.after))
        if value is not None
        for line in (f"  {sign} {each.key}: {_text(value)}",)
    ]
    yield from _section("configuration", changes)


def _section(name: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"{name}:" if lines else f"{name}: no difference"
    yield from lines


def _commits(sign: str, commits: Sequence[CommitResponse]) -> Iterator[str]:
    for each in commits:
        yield f"  {sign} {each.sha[:7]} {each.subject} ({each.author})"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
