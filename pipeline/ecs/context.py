"""What work on a service's pipeline needs, made from its record."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.base.clock import SYSTEM, Clock
from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.ecs.configuration import service_configuration
from pipeline.ecs.records import Service
from pipeline.ecs.stack_pipeline import StackPipeline, pipeline_configuration
from pipeline.ecs.store import EcsStore
from pipeline.ecs.task_secrets import TaskSecrets
from pipeline.events import Listener
from pipeline.parameter_store.store import ParameterStore
from pipeline.runner.context import PipelineContext
from pipeline.store.store import Store


def service_context(
    home: Home,
    store: Store,
    kept: EcsStore,
    service: Service | StackPipeline,
    listeners: Sequence[Listener] = (),
    clock: Clock = SYSTEM,
) -> PipelineContext:
    """Return the context of the pipeline of a service, or of a stack, as it is wanted now. Raises `ConfigError`."""
    if isinstance(service, StackPipeline):
        configuration = pipeline_configuration(home, service)
        return PipelineContext(home, configuration, store, listeners, clock=clock)
    task = kept.task_definition(service.owner, service.wanted.task_definition)
    if task is None:
        raise ConfigError(f"{service.name}: {service.wanted.task_definition} does not exist")
    parameters = TaskSecrets(ParameterStore(home.aws), service.owner)
    configuration = service_configuration(kept.file, service, task, parameters)
    return PipelineContext(home, configuration, store, listeners, clock=clock)
