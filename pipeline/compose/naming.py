"""Names of Compose as names of pipeline.yaml: letters, digits and hyphens."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.compose.report import Report
from pipeline.compose.service import ComposeService

_MAX_NAME = 32


def short_name(text: str, default: str = "app") -> str:
    """Return a text as a name."""
    return re.sub("[^A-Za-z0-9]+", "-", text)[:_MAX_NAME].strip("-") or default


def joined_name(first: str, second: str) -> str:
    """Return a name of two parts. A long first part is cut."""
    end = short_name(second)[: _MAX_NAME // 2].strip("-")
    return f"{short_name(first)[: _MAX_NAME - len(end) - 1].strip('-')}-{end}"


def name_services(services: Iterable[ComposeService], report: Report) -> dict[str, str]:
    """Return the names of services, each once. A changed one is noted, because it is a host name too."""
    found: dict[str, str] = {}
    for service in services:
        name = short_name(service.name, "service")
        number = 2
        while name in found.values():
            ending = f"-{number}"
            name, number = short_name(service.name, "service")[: _MAX_NAME - len(ending)] + ending, number + 1
        found[service.name] = name
        if name != service.name:
            report.note(
                f"{service.place}: services.{service.name} is named {name}, which is its host name: change it where "
                "others connect to it"
            )
    return found
