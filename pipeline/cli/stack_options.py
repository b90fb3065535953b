"""The options of `pipeline stack`, and what they mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipeline.base.errors import ConfigError

_MAX_TEMPLATE = 1_000_000

owner_option = click.option("--owner", default="aws", show_default=True, help="Owner of the stack, as of access keys.")
name_argument = click.argument("name", metavar="STACK")


def template_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the template and its values to a command."""
    for option in (
        click.option("--ignore-unknown", is_flag=True, help="Skip resources of types that are not offered."),
        click.option("--tags", "tags", multiple=True, metavar="KEY=VALUE", help="Set a tag of the stack."),
        click.option(
            "-p", "--parameters", "parameters", multiple=True, metavar="KEY=VALUE", help="Set a template parameter."
        ),
        click.option(
            "-t",
            "--template",
            "template",
            required=True,
            type=click.Path(path_type=Path),
            help="File of the template, JSON or YAML.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class Template:
    """A template as the options give it."""

    file: Path
    parameters: tuple[str, ...]
    tags: tuple[str, ...]
    ignore_unknown: bool

    def body(self) -> dict[str, Any]:
        """Return the request for the control API. Raises `ConfigError` if the file cannot be read."""
        found = {
            "template": read_template(self.file),
            "source": str(self.file),
            "folder": str(self.file.resolve().parent),
            "parameters": split_pairs("--parameters", self.parameters),
            "ignore_unknown": self.ignore_unknown,
        }
        return found | ({"tags": split_pairs("--tags", self.tags)} if self.tags else {})


def read_template(file: Path) -> str:
    """Return the text of a template. Raises `ConfigError`."""
    try:
        if file.stat().st_size > _MAX_TEMPLATE:
            raise ConfigError(f"{file}: a template has at most 1 MB")
        return file.read_text()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text: {error.reason}") from error


def split_pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    """Return pairs of the form KEY=VALUE. Raises `ConfigError`, also for a key that comes twice."""
    found: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"{option} {text}: must have the form KEY=VALUE")
        if key in found:
            raise ConfigError(f"{option} {key}: is given twice")
        found[key] = value
    return found


def region() -> str:
    """Return the region for new stacks, which is only a part of their ARNs."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
