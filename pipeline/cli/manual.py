"""The manual page, `man pipeline`: every command with its options, made from the commands."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from pipeline.base.errors import ExitCode
from pipeline.cli.commands import GROUPS, SUMMARY

_HOME = (
    "PENSTOCK_HOME",
    "The state directory: the database, the logs and the balancer. Default: penstock in $XDG_STATE_HOME.",
)


def manual_page(program: click.Group) -> str:
    """Return the page in the language of man. It has no date, so that it changes only with the commands."""
    lines = [
        '.\\" Made from the commands by `pipeline schema --manual`.',
        '.TH PIPELINE 1 "" Penstock "User Commands"',
        ".SH NAME",
        "pipeline \\- " + _escaped(SUMMARY[0].rstrip(".")),
        ".SH SYNOPSIS",
        ".B pipeline",
        "COMMAND [OPTIONS] [ARGUMENTS]",
        ".SH DESCRIPTION",
        *map(_escaped, SUMMARY[:1]),
    ]
    with click.Context(program, info_name="pipeline", **program.context_settings) as context:
        for group, names in GROUPS.items():
            lines.append(f".SH {group.upper()}")
            for name in names:
                command = program.get_command(context, name)
                assert command is not None
                lines += _described(command, name, context)
    lines += [".SH EXIT STATUS"]
    for code in ExitCode:
        lines += [".TP", f".B {int(code)}", _escaped(code.name.lower().replace("_", " "))]
    lines += [".SH ENVIRONMENT", ".TP", f".B {_HOME[0]}", _escaped(_HOME[1])]
    return "\n".join(lines) + "\n"


def _described(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    """Yield the lines about a command, then those about the commands within it."""
    with click.Context(command, info_name=name, parent=parent) as context:
        yield f'.SS "{_escaped(context.command_path)}"'
        yield ".PP"
        yield f".B {_escaped(' '.join([context.command_path, *command.collect_usage_pieces(context)]))}"
        for paragraph in (command.help or "").split("\n\n"):
            yield from _paragraph(paragraph)
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and "--help" not in parameter.opts:
                yield from (".TP", f".B {_escaped(record[0])}", _escaped(record[1]))
        if isinstance(command, click.Group):
            for each in command.list_commands(context):
                found = command.get_command(context, each)
                if found is not None:
                    yield from _described(found, each, context)


def _paragraph(text: str) -> Iterator[str]:
    """Yield a paragraph of a command's help. One that begins with \\b keeps its lines."""
    if text.startswith("\b"):
        yield from (".PP", ".nf", *(_escaped(line) for line in text.splitlines()[1:]), ".fi")
    else:
        yield from (".PP", _escaped(" ".join(text.split())))


def _escaped(text: str) -> str:
    """Return text that man shows as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    # A dot or an apostrophe at the start of a line begins a request.
    return re.sub(r"^(?=[.'])", r"\\&", text)
