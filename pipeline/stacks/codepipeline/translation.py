"""From the template of a CodePipeline to a pipeline.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.stacks.codepipeline.build import build_section
from pipeline.stacks.codepipeline.notes import Notes
from pipeline.stacks.codepipeline.resources import read_resources
from pipeline.stacks.codepipeline.service import service_section
from pipeline.stacks.codepipeline.shape import find_shape
from pipeline.stacks.codepipeline.source import source_sections
from pipeline.stacks.codepipeline.traffic import Traffic, short_name

_PLACEHOLDER = re.compile("<[^<>]+>")


@dataclass(frozen=True)
class ImportedPipeline:
    """The content of pipeline.yaml, and what it leaves out or assumes, a line each."""

    content: dict[str, Any]
    notes: tuple[str, ...]


def translate(
    templates: Mapping[str, str],
    *,
    parameters: Mapping[str, str],
    name: str | None = None,
    buildspec: str | None = None,
    region: str = "us-east-1",
) -> ImportedPipeline:
    """Return the pipeline.yaml for the CodePipeline `name`, or the only one, of templates by the names of their files.

    `buildspec` is the text of a buildspec in the repository. Raises `ConfigError` for a template with a mistake, and
    for a pipeline of another shape than Source → CodeBuild → ECS.
    """
    notes = Notes()
    resources = read_resources(templates, parameters, region, notes)
    shape = find_shape(resources, name, notes)
    sections = source_sections(shape, resources, region, notes)
    build = build_section(shape, resources, buildspec, notes)
    service = service_section(shape, resources, notes)
    traffic = Traffic(service, resources, notes)
    named = shape.pipeline.text("Name")
    content: dict[str, Any] = {
        "name": short_name(shape.pipeline.name if _PLACEHOLDER.search(named) else named or shape.pipeline.name, "app"),
        **sections,
        **({"build": build} if build else {}),
        "deploy": {"target_group": traffic.group_name, **service.deploy},
        "balancer": traffic.section(),
    }
    for placeholder in dict.fromkeys(_placeholders(content)):
        option = ", or give it by --parameter" if placeholder.strip("<>") in resources.parameters else ""
        notes.add(f"write a value in place of {placeholder}{option}")
    return ImportedPipeline(content, notes.lines())


def _placeholders(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _PLACEHOLDER.findall(value)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _placeholders(item)
