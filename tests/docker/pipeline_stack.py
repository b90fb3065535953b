"""A stack with a pipeline of our own type, used through the command line."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.ecs.store import EcsStore
from tests.docker.project import Project

TEMPLATE = """\
Parameters:
  Replicas: {{Type: Number, Default: 2}}
  Path: {{Type: String, Default: /healthz}}
Resources:
  Web:
    Type: Penstock::Pipeline::Pipeline
    Properties:
{pipeline}
Outputs:
  File: {{Value: !GetAtt Web.File}}
"""


@dataclass
class PipelineStack:
    """The stack `stack`, with the pipeline of a project. The template takes the place of its pipeline.yaml."""

    project: Project
    template: Path = field(init=False)

    def __post_init__(self) -> None:
        self.project.configure(("replicas: 2", "replicas: !Ref Replicas"), ("path: /healthz", "path: !Ref Path"))
        own = self.project.directory / "pipeline.yaml"
        self.template = self.project.directory.parent / f"{self.project.name}.stack.yaml"
        text = f"source: {{repository: {self.project.directory.name}}}\n{own.read_text()}"
        self.template.write_text(TEMPLATE.format(pipeline=textwrap.indent(text, " " * 6)))
        own.unlink()

    def arguments(self, verb: str, **parameters: str) -> tuple[str, ...]:
        """Return the arguments of `pipeline` for a command to the stack."""
        given = [part for name, value in parameters.items() for part in ("--parameters", f"{name}={value}")]
        return ("stack", verb, "stack", "--template", str(self.template), *given)

    @property
    def file(self) -> Path:
        """The pipeline.yaml that other commands name."""
        return self.project.home.stack_pipelines / f"{self.project.name}.yaml"

    def assert_gone(self) -> None:
        """Assert that nothing of the pipeline is kept or left over."""
        assert not self.file.exists()
        assert EcsStore(self.project.home.aws).read().pipelines == ()
        self.project.assert_gone()
