"""A template of the shape that CDK makes: its service has traffic, and its stack leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.cdk_template import VERSION, cdk_template
from tests.docker.docker_cli import docker
from tests.docker.ecs_stack import EcsStack
from tests.docker.get import get
from tests.docker.project import Project

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]


@pytest.fixture
def images(project: Project) -> Iterator[EcsStack]:
    """What builds images, and removes them."""
    made = EcsStack(project)
    yield made
    made.remove()


def test_a_load_balanced_service_of_cdk(images: EcsStack) -> None:
    """Without the parameter of the bootstrap stack it is refused. With it, the service answers behind its listener."""
    project = images.project
    # The listener of the fixture has the first one.
    project.take_port()
    template = project.directory.parent / "Shop.template.json"
    template.write_text(cdk_template(images.build("1"), project.port))
    create = ("stack", "create", "Shop", "--template", str(template))
    refused = project.pipeline(*create, code=2)
    assert f"Unable to fetch parameters [{VERSION}] from parameter store" in refused.err
    project.pipeline("aws", "parameters", "put", VERSION, "33")
    created = project.pipeline(*create)
    assert "CREATE_COMPLETE" in created.out
    assert get(project).startswith("sample-app 1")
    pipeline = images.service.pipeline
    project.pipeline("stack", "delete", "Shop")
    assert images.services == ()
    assert docker("ps", "--all", "--quiet", "--filter", f"label=penstock.pipeline={pipeline}") == ""
