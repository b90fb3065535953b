"""RegisterTaskDefinition of ECS's API: the same revisions as those of stacks."""

from __future__ import annotations

import uuid

from pydantic import ValidationError

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.base.errors import ConfigError
from pipeline.ecs.records import TaskDefinition
from pipeline.ecs.shapes import pascal
from pipeline.stacks.properties import validation_message
from pipeline.stacks.providers.ecs_task_definition import TaskDefinitionProperties, revision_of


def requested_revision(call: Call) -> TaskDefinition:
    """Return the revision that a call asks for, without a number. Raises `AwsError` for what cannot be kept."""
    try:
        properties = TaskDefinitionProperties.model_validate(pascal(call.parameters))
        return revision_of(properties, call.owner, call.region, f"api/{uuid.uuid4()}")
    except ValidationError as error:
        raise AwsError("ClientException", validation_message(error)) from None
    except ConfigError as error:
        raise AwsError("ClientException", error.message) from None
