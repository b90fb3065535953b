"""The resource types that are offered, and the stacks of a home."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pipeline.base.home import Home
from pipeline.ecs.ecs import Ecs
from pipeline.ecs.services import Workers
from pipeline.machine.existing import ExistingNetwork
from pipeline.network.zones import DEFAULT_ZONES, Zone
from pipeline.stacks.providers import (
    ecs_cluster,
    ecs_service,
    ecs_task_definition,
    nested_stack,
    pipeline,
    scaling,
    wait_condition_handle,
)
from pipeline.stacks.providers.aws_types import aws_types
from pipeline.stacks.providers.machine import Machine
from pipeline.stacks.providers.ssm_parameter import parameter_value
from pipeline.stacks.resource_types import ResourceTypes
from pipeline.stacks.stacks import Stacks


def offered_types(stacks: Stacks, ecs: Ecs) -> ResourceTypes:
    """Return the types of CloudFormation and ECS, and our own. A provider is made for each stack that uses its type."""
    return ResourceTypes(
        {
            ecs_cluster.TYPE: partial(ecs_cluster.EcsCluster, ecs),
            ecs_service.TYPE: partial(ecs_service.EcsService, ecs),
            ecs_task_definition.TYPE: partial(ecs_task_definition.EcsTaskDefinition, ecs),
            scaling.TARGET_TYPE: partial(scaling.ScalableTarget, ecs),
            scaling.POLICY_TYPE: partial(scaling.ScalingPolicy, ecs),
            pipeline.TYPE: partial(pipeline.Pipeline, ecs),
            nested_stack.TYPE: partial(nested_stack.NestedStack, stacks),
            wait_condition_handle.TYPE: wait_condition_handle.WaitConditionHandle,
        }
    )


def machine_types(machine: Machine, ecs: Ecs, stacks: Stacks) -> ResourceTypes:
    """Return all types of a machine."""
    return ResourceTypes({**aws_types(machine), **offered_types(stacks, ecs).makers})


def open_stacks(
    home: Home, zones: Sequence[Zone] = DEFAULT_ZONES, workers: Workers | None = None, ecs: Ecs | None = None
) -> Stacks:
    """Return the stacks of a home. Close them at the end: what they do then is suspended.

    `workers` work on services. Without them, this process does. `ecs` is that of the home if it is open already.
    """
    ecs, machine = ecs or Ecs(home, workers), Machine.of_home(home, zones)
    types = partial(machine_types, machine, ecs)
    existing, names = partial(ExistingNetwork, machine.networks), [zone.name for zone in zones]
    lookup = partial(parameter_value, machine.parameters)
    stacks = Stacks(home.database, home.locks / "stacks", types, names, parameters=lookup, existing=existing)
    # A change that is repeated changes nothing, so it would not let the data plane follow.
    stacks.jobs.on_resume.append(machine.balancer.reconcile)
    stacks.on_close.append(ecs.close)
    return stacks
