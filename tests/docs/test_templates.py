"""The templates in the documentation and the examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.base.home import Home
from pipeline.config.container_settings import ContainerSettings
from pipeline.ecs.stack_pipeline import StackPipeline, pipeline_configuration, pipeline_text
from pipeline.stacks.providers.ecs_task_definition import TaskDefinitionProperties, revision_of
from pipeline.stacks.providers.pipeline import TYPE
from pipeline.stacks.template import Template, pseudo_parameters
from tests.support.paths import ROOT

PSEUDO = pseudo_parameters(account="000000000000", region="eu-west-1", stack_name="web", stack_id="arn:…:stack/web/1")
STACKS = (ROOT / "docs" / "stacks.md").read_text()
LABORATORY = ROOT / "examples" / "elb-lab" / "lab.yaml"
BLOCKS = re.findall(r"```yaml\n(.*?)```", STACKS, re.DOTALL)
TEMPLATES = [LABORATORY.read_text(), *(text for text in BLOCKS if TYPE in text)]
TASKS = [text for text in BLOCKS if "AWS::ECS::TaskDefinition" in text]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_pipeline_of_a_template_is_valid(template: str, tmp_path: Path) -> None:
    """Its properties are a pipeline.yaml without a mistake."""
    evaluated = Template.parse(template).evaluate({}, PSEUDO, {}, [])
    pipelines = [resource for resource in evaluated.resources.values() if resource.type == TYPE]
    assert pipelines
    for found in pipelines:
        properties = evaluated.resolve(found.name, lambda _name, _attribute: "")
        text = pipeline_text(properties, str(properties["name"]), str(tmp_path))
        wanted = StackPipeline("aws", "web", str(properties["name"]), "token", text, properties)
        assert pipeline_configuration(Home(tmp_path), wanted).pipeline.deploy.replicas == 2


@pytest.mark.parametrize("template", TASKS)
def test_every_task_definition_of_a_template_can_run(template: str) -> None:
    """Its container comes to the settings of a service."""
    evaluated = Template.parse(template).evaluate({}, PSEUDO, {}, [])
    for found in evaluated.resources.values():
        properties = evaluated.resolve(found.name, lambda _name, _attribute: "")
        task = revision_of(TaskDefinitionProperties.model_validate(properties), "aws", "eu-west-1", "token")
        assert ContainerSettings.model_validate(task.settings).user == "1000"
        assert task.secrets == {"PASSWORD": "/shop/password"}


def test_there_are_templates() -> None:
    """The documentation has one beside the laboratory's, and one with a task definition."""
    assert len(TEMPLATES) > 1
    assert TASKS
