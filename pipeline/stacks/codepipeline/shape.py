"""The actions of a CodePipeline, and the pipeline that has the shape Source → CodeBuild → ECS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.base.errors import ConfigError
from pipeline.stacks.codepipeline.notes import Notes
from pipeline.stacks.codepipeline.resources import Resource, Resources, members, objects, text_of
from pipeline.stacks.template import JSON

PIPELINE = "AWS::CodePipeline::Pipeline"
SHAPE = "Source → CodeBuild with `docker build` → ECS"
_SOURCES = ("CodeCommit", "CodeStarSourceConnection", "GitHub")
_DEPLOYS = ("ECS", "CodeDeployToECS")


@dataclass(frozen=True)
class Action:
    """An action of a stage."""

    stage: str
    name: str
    category: str
    provider: str
    configuration: dict[str, JSON]

    def text(self, key: str) -> str:
        """Return a key of the configuration as text."""
        return text_of(self.configuration.get(key))

    @property
    def title(self) -> str:
        """How notes call it, such as `action Deploy (Lambda, stage Prod)`."""
        return f"action {self.name} ({self.provider}, stage {self.stage})"


@dataclass(frozen=True)
class Shape:
    """The actions that become a pipeline.yaml."""

    pipeline: Resource
    source: Action
    builds: tuple[Action, ...]
    approval: Action | None
    deploy: Action


def find_shape(resources: Resources, name: str | None, notes: Notes) -> Shape:
    """Return the pipeline with this name, or the only one. Raises `ConfigError` if it has another shape."""
    pipeline = _chosen(resources.of_type(PIPELINE), name)
    actions = list(_actions(pipeline))
    source = next((action for action in actions if action.provider in _SOURCES), None)
    source = source or next((action for action in actions if action.category == "Source"), None)
    builds = tuple(action for action in actions if action.provider == "CodeBuild")
    deploy = next((action for action in actions if action.provider in _DEPLOYS), None)
    if source is None or not builds or deploy is None:
        listed = ", ".join(f"{action.category} by {action.provider}" for action in actions) or "no actions"
        raise ConfigError(f"{pipeline.name} does not have the shape {SHAPE}: it has {listed}")
    before = actions[: actions.index(deploy)]
    approval = next((action for action in before if action.category == "Approval"), None)
    used = {source.title, deploy.title, *(action.title for action in builds), approval.title if approval else ""}
    for action in actions:
        if action.title not in used:
            notes.add(f"{action.title} is left out")
    return Shape(pipeline, source, builds, approval, deploy)


def _chosen(pipelines: list[Resource], name: str | None) -> Resource:
    if name is not None:
        pipelines = [pipeline for pipeline in pipelines if name in (pipeline.name, pipeline.text("Name"))]
    if not pipelines:
        what = f"{PIPELINE} {name}" if name else PIPELINE
        raise ConfigError(f"there is no {what}", hint="its condition may not hold: give values by --parameter")
    if len(pipelines) > 1:
        names = ", ".join(pipeline.name for pipeline in pipelines)
        raise ConfigError(f"there are several pipelines: {names}", hint="choose one by --pipeline")
    return pipelines[0]


def _actions(pipeline: Resource) -> Iterator[Action]:
    for stage in objects(pipeline.properties.get("Stages")):
        for action in objects(stage.get("Actions")):
            kind = members(action.get("ActionTypeId"))
            yield Action(
                stage=text_of(stage.get("Name")),
                name=text_of(action.get("Name")),
                category=text_of(kind.get("Category")),
                provider=text_of(kind.get("Provider")),
                configuration=members(action.get("Configuration")),
            )
