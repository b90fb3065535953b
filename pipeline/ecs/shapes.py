"""What ECS keeps, in the shapes of ECS's API. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.ecs.circuit_breaker import shape
from pipeline.ecs.records import ACCOUNT, Cluster, Service, TaskDefinition
from pipeline.ecs.tasks import Task
from pipeline.engine.container import ContainerHealth
from pipeline.store.records import Run, RunKind, RunState

# Their keys are those of users, not of ECS.
_MAPS = ("DockerLabels", "Options", "DriverOpts", "Labels")
_LAST_EVENTS = 100
_HEALTH: dict[ContainerHealth | None, str] = {
    ContainerHealth.HEALTHY: "HEALTHY",
    ContainerHealth.UNHEALTHY: "UNHEALTHY",
}


def cluster_arn(region: str, name: str) -> str:
    """Return the ARN of a cluster."""
    return f"arn:aws:ecs:{region}:{ACCOUNT}:cluster/{name}"


def cluster_shape(cluster: Cluster, services: int, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return a cluster, with the number of its services and its tasks."""
    states = [task.status for task in tasks]
    return {
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": "ACTIVE",
        "registeredContainerInstancesCount": 0,
        "runningTasksCount": states.count("RUNNING"),
        "pendingTasksCount": states.count("PENDING"),
        "activeServicesCount": services,
        "statistics": [],
        "tags": tags_of(cluster.properties),
        "settings": camel(cluster.properties.get("ClusterSettings", [])),
        "capacityProviders": list(cluster.properties.get("CapacityProviders", [])),
        "defaultCapacityProviderStrategy": camel(cluster.properties.get("DefaultCapacityProviderStrategy", [])),
    }


def task_definition_shape(task: TaskDefinition) -> dict[str, Any]:
    """Return a revision."""
    properties = {name: value for name, value in task.properties.items() if name != "Tags"}
    described = {"Volumes": [], "PlacementConstraints": [], **properties}
    return {
        **camel(described),
        "family": task.family,
        "taskDefinitionArn": task.arn,
        "revision": task.revision,
        "status": "ACTIVE" if task.active else "INACTIVE",
        "compatibilities": ["EC2", "FARGATE"],
        "registeredAt": task.created,
    }


def service_shape(
    service: Service, wanted: TaskDefinition, former: TaskDefinition | None, tasks: Sequence[Task], runs: Sequence[Run]
) -> dict[str, Any]:
    """Return a service whose primary deployment is to `wanted`.

    `former` is what the deployment in progress replaces, None if there is none. `runs` are its runs, newest first.
    """
    last = runs[0] if runs else None
    is_rolling = last is not None and not last.state.over
    deployments = [_deployment(service, wanted, tasks, last, "IN_PROGRESS" if is_rolling else "COMPLETED")]
    if former is not None:
        deployments[0] |= _counts([task for task in tasks if last is not None and task.run == str(last.number)])
        replaced = [task for task in tasks if last is None or task.run != str(last.number)]
        deployments.append({**_deployment(service, former, replaced, last, "COMPLETED"), "status": "ACTIVE"})
    properties = service.properties
    launch_type = {"launchType": properties["LaunchType"]} if "LaunchType" in properties else {}
    return {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": cluster_arn(service.region, service.cluster),
        "loadBalancers": camel(properties.get("LoadBalancers", [])),
        "serviceRegistries": [],
        "status": "DRAINING" if service.deleting else "ACTIVE",
        "desiredCount": service.wanted.desired_count,
        **_counts(tasks),
        **launch_type,
        "taskDefinition": wanted.arn,
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": shape(service.wanted.circuit_breaker),
            "maximumPercent": service.wanted.maximum,
            "minimumHealthyPercent": service.wanted.minimum,
        },
        "deployments": deployments,
        "events": [event for run in runs[:_LAST_EVENTS] if (event := _event(service, run))],
        "createdAt": runs[-1].started_at if runs else wanted.created,
        "placementConstraints": [],
        "placementStrategy": [],
        "healthCheckGracePeriodSeconds": service.wanted.grace,
        "schedulingStrategy": "REPLICA",
        "deploymentController": {"type": "ECS"},
        "enableECSManagedTags": False,
        "propagateTags": "NONE",
        "enableExecuteCommand": False,
    }


def task_shape(task: Task, definition: TaskDefinition | None) -> dict[str, Any]:
    """Return a task. `definition` is the revision that it was made from, if that is known."""
    container, service = task.container, task.service
    ended = task.status == "STOPPED"
    address = [{"privateIpv4Address": container.address}] if container.address else []
    health = _HEALTH.get(container.health, "UNKNOWN")
    shown: dict[str, Any] = {
        "containerArn": f"{task.arn.replace(':task/', ':container/')}/{container.id[:8]}",
        "taskArn": task.arn,
        "runtimeId": container.id,
        "lastStatus": task.status,
        "networkBindings": [],
        "networkInterfaces": address,
        "healthStatus": health,
    }
    if definition is not None:
        shown |= {"name": definition.container, "image": definition.image}
    return {
        "taskArn": task.arn,
        "clusterArn": cluster_arn(service.region, service.cluster),
        **({"taskDefinitionArn": definition.arn} if definition else {}),
        "containers": [shown],
        "lastStatus": task.status,
        "desiredStatus": "STOPPED" if ended else "RUNNING",
        "group": f"service:{service.name}",
        "startedBy": f"ecs-svc/{task.run}",
        "createdAt": container.created_at,
        "healthStatus": health,
        "attachments": [],
        "overrides": {"containerOverrides": []},
        "tags": [],
    }


def tags_of(properties: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the tags of a resource."""
    return [{"key": tag["Key"], "value": tag.get("Value", "")} for tag in properties.get("Tags") or ()]


def camel(value: Any) -> Any:
    """Return properties of a template with the names of the API."""
    if isinstance(value, Mapping):
        return {
            key[:1].lower() + key[1:]: dict(each) if key in _MAPS and isinstance(each, Mapping) else camel(each)
            for key, each in value.items()
        }
    return [camel(each) for each in value] if isinstance(value, list | tuple) else value


def pascal(value: Any) -> Any:
    """Return parameters of the API with the names of a template."""
    if isinstance(value, Mapping):
        named = ((key[:1].upper() + key[1:], each) for key, each in value.items())
        return {key: dict(each) if key in _MAPS and isinstance(each, Mapping) else pascal(each) for key, each in named}
    return [pascal(each) for each in value] if isinstance(value, list | tuple) else value


def _deployment(
    service: Service, task: TaskDefinition, tasks: Sequence[Task], run: Run | None, state: str
) -> dict[str, Any]:
    created = run.started_at if run else task.created
    return {
        "id": f"ecs-svc/{run.number if run else 0}",
        "status": "PRIMARY",
        "taskDefinition": task.arn,
        "desiredCount": service.wanted.desired_count,
        **_counts(tasks),
        "failedTasks": 0,
        "createdAt": created,
        "updatedAt": run.finished_at if run and run.finished_at else created,
        "rolloutState": state,
    }


def _counts(tasks: Sequence[Task]) -> dict[str, int]:
    states = [task.status for task in tasks]
    return {"runningCount": states.count("RUNNING"), "pendingCount": states.count("PENDING")}


def _event(service: Service, run: Run) -> dict[str, Any] | None:
    """Return the event of a run that has ended, None for one that moved nothing."""
    if run.finished_at is None or run.state is RunState.SKIPPED:
        return None
    if run.state is RunState.SUCCEEDED:
        text = "has stopped all tasks." if run.kind is RunKind.DOWN else "has reached a steady state."
    else:
        text = f"(deployment ecs-svc/{run.number}) deployment failed: {run.reason or run.state}."
    return {
        "id": f"{run.pipeline}/{run.number}",
        "createdAt": run.finished_at,
        "message": f"(service {service.name}) {text}",
    }
