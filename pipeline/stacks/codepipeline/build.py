"""The section `build`, from the actions of CodeBuild."""

from __future__ import annotations

from typing import Any

from pipeline.stacks.codepipeline.buildspec import BuildSection, parse_buildspec
from pipeline.stacks.codepipeline.notes import Notes
from pipeline.stacks.codepipeline.resources import Resource, Resources, objects, text_of
from pipeline.stacks.codepipeline.shape import Shape

PROJECT = "AWS::CodeBuild::Project"


def build_section(shape: Shape, resources: Resources, buildspec: str | None, notes: Notes) -> dict[str, Any]:
    """Return the section, from all projects of the pipeline. `buildspec` is the one in the repository."""
    section = BuildSection(notes, {})
    for action in shape.builds:
        project = resources.referred(action.configuration.get("ProjectName"), PROJECT, "Name")
        if project is None:
            notes.add(f"the project {action.text('ProjectName')} of {action.title} is not in the template")
        section.folder = "."
        section.variables = _variables(project, notes)
        text, source = _text(project, buildspec)
        if text is None:
            notes.add(f"{source} is in the repository: give it by --buildspec")
        else:
            section.read(parse_buildspec(text, source))
    if not section.built:
        notes.add("no `docker build` was found: the Dockerfile in the root of the repository is assumed")
    return section.section


def _text(project: Resource | None, buildspec: str | None) -> tuple[str | None, str]:
    """Return the text of a project's buildspec, if it is known, and how messages call it."""
    source = project.properties.get("Source") if project is not None else None
    given = text_of(source.get("BuildSpec")) if isinstance(source, dict) else ""
    if "\n" in given or given.lstrip().startswith("{"):
        return given, f"the buildspec of {project.name if project else ''}"
    return buildspec, given or "buildspec.yml"


def _variables(project: Resource | None, notes: Notes) -> dict[str, str]:
    environment = project.properties.get("Environment") if project is not None else None
    given = objects(environment.get("EnvironmentVariables")) if isinstance(environment, dict) else []
    found: dict[str, str] = {}
    for variable in given:
        name = text_of(variable.get("Name"))
        if text_of(variable.get("Type"), "PLAINTEXT") == "PLAINTEXT":
            found[name] = text_of(variable.get("Value"))
        else:
            notes.add(f"the build's variable {name} from {text_of(variable.get('Type'))} is left out")
    return found
