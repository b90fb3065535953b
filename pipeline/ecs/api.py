"""ECS's API over the services of a home: everything that reads, revisions of task definitions, and UpdateService."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call, Operation
from pipeline.aws.service import Service as AwsService
from pipeline.ecs.ecs import Ecs
from pipeline.ecs.records import Cluster, Service, TaskDefinition
from pipeline.ecs.shapes import (
    cluster_shape,
    service_shape,
    tags_of,
    task_definition_shape,
    task_shape,
)
from pipeline.ecs.tasks import Containers, Task, tasks_of
from pipeline.ecs.update import changed_service, deploy

_DEFAULT_CLUSTER = "default"
_LAST_RUNS = 100
_PAGE = 100
_BY_STACKS = "A stack makes and deletes it: see AWS::ECS in a template."
_REFUSED = (*("CreateCluster", "DeleteCluster", "CreateService", "DeleteService"),)
Requested = Callable[[Call], TaskDefinition]


def ecs_service(ecs: Callable[[], Ecs], containers: Containers, requested: Requested) -> AwsService:
    """Return the service. `ecs` is opened at the first call.

    `requested` returns the revision that RegisterTaskDefinition asks for, and raises `AwsError`.
    """
    api = EcsApi(ecs, containers, requested)
    operations: dict[str, Operation] = {
        "ListClusters": api.list_clusters,
        "DescribeClusters": api.describe_clusters,
        "ListServices": api.list_services,
        "DescribeServices": api.describe_services,
        "ListTaskDefinitions": api.list_task_definitions,
        "DescribeTaskDefinition": api.describe_task_definition,
        "ListTasks": api.list_tasks,
        "DescribeTasks": api.describe_tasks,
        "RegisterTaskDefinition": api.register_task_definition,
        "DeregisterTaskDefinition": api.deregister_task_definition,
        "UpdateService": api.update_service,
    }
    return AwsService("ecs", "2014-11-13", "ecs", operations, dict.fromkeys(_REFUSED, _BY_STACKS))


class EcsApi:
    """The operations. Those that describe what does not exist name it in `failures`, as ECS does."""

    def __init__(self, ecs: Callable[[], Ecs], containers: Containers, requested: Requested) -> None:
        self._open = ecs
        self._containers = containers
        self._requested = requested

    @property
    def _ecs(self) -> Ecs:
        return self._open()

    def list_clusters(self, call: Call) -> dict[str, Any]:
        """List the clusters of a region."""
        return _page(call, "clusterArns", [cluster.arn for cluster in self._clusters(call)])

    def describe_clusters(self, call: Call) -> dict[str, Any]:
        """Describe clusters, by default the one that is called default."""
        known = {key: cluster for cluster in self._clusters(call) for key in (cluster.name, cluster.arn)}
        wanted = call.parameters.get("clusters") or [_DEFAULT_CLUSTER]
        return {
            "clusters": [self._cluster_shape(known[key], call) for key in wanted if key in known],
            "failures": [_missing(key) for key in wanted if key not in known],
        }

    def list_services(self, call: Call) -> dict[str, Any]:
        """List the services of a cluster."""
        return _page(call, "serviceArns", [service.arn for service in self._services(call)])

    def describe_services(self, call: Call) -> dict[str, Any]:
        """Describe services of a cluster, by name or ARN."""
        known = {key: service for service in self._services(call) for key in (service.name, service.arn)}
        wanted = call.parameters["services"]
        return {
            "services": [self._shape(known[key], call) for key in wanted if key in known],
            "failures": [_missing(key) for key in wanted if key not in known],
        }

    def list_task_definitions(self, call: Call) -> dict[str, Any]:
        """List revisions, oldest first."""
        given = call.parameters
        is_active = given.get("status", "ACTIVE") == "ACTIVE"
        family = given.get("familyPrefix")
        found = [t for t in self._definitions(call) if t.active == is_active and family in (None, t.family)]
        found.sort(key=lambda t: (t.family, t.revision), reverse=given.get("sort") == "DESC")
        return _page(call, "taskDefinitionArns", [task.arn for task in found])

    def describe_task_definition(self, call: Call) -> dict[str, Any]:
        """Describe a revision, by ARN, FAMILY:REVISION, or the latest active one of a family."""
        found = self._ecs.store.task_definition(call.owner, call.parameters["taskDefinition"], call.region)
        if found is None:
            raise AwsError("ClientException", "Unable to describe task definition.")
        tags = {"tags": tags_of(found.properties)} if "TAGS" in call.parameters.get("include", ()) else {}
        return {"taskDefinition": task_definition_shape(found), **tags}

    def register_task_definition(self, call: Call) -> dict[str, Any]:
        """Keep a new revision of a family."""
        made = self._ecs.store.add_task_definition(self._requested(call))
        return {"taskDefinition": task_definition_shape(made), "tags": tags_of(made.properties)}

    def deregister_task_definition(self, call: Call) -> dict[str, Any]:
        """Make a revision inactive. A service that uses it keeps it."""
        key = call.parameters["taskDefinition"]
        found = self._ecs.store.task_definition(call.owner, key, call.region)
        if found is None or key not in (found.arn, found.label):
            raise AwsError("ClientException", f"Invalid task definition {key!r}: it must be an ARN or FAMILY:REVISION.")
        self._ecs.store.deactivate(call.owner, found.arn)
        return {"taskDefinition": task_definition_shape(replace(found, active=False))}

    def list_tasks(self, call: Call) -> dict[str, Any]:
        """List the tasks of a cluster, of one service or of all."""
        given = call.parameters
        name = given.get("serviceName")
        services = self._services(call)
        if name is not None:
            services = [service for service in services if name in (service.name, service.arn)]
            if not services:
                raise AwsError("ServiceNotFoundException", "Service not found.")
        is_wanted = (lambda status: status == "STOPPED") if given.get("desiredStatus") == "STOPPED" else _is_wanted
        tasks = [task for task in self._tasks(services) if is_wanted(task.status)]
        if family := given.get("family"):
            tasks = [task for task in tasks if (made := self._definition(task)) and made.family == family]
        return _page(call, "taskArns", [task.arn for task in tasks])

    def describe_tasks(self, call: Call) -> dict[str, Any]:
        """Describe tasks of a cluster, by id or ARN."""
        known = {key: task for task in self._tasks(self._services(call)) for key in (task.id, task.arn)}
        wanted = call.parameters["tasks"]
        return {
            "tasks": [task_shape(known[key], self._definition(known[key])) for key in wanted if key in known],
            "failures": [_missing(key) for key in wanted if key not in known],
        }

    def update_service(self, call: Call) -> dict[str, Any]:
        """Start a deployment of a service with another count, task definition or limits. Return the service."""
        key = call.parameters["service"]
        known = next((service for service in self._services(call) if key in (service.name, service.arn)), None)
        if known is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        if known.deleting:
            raise AwsError("ServiceNotActiveException", "Service was not ACTIVE.")
        deploy(self._ecs, changed_service(self._ecs, call, known))
        return {"service": self._shape(self._ecs.store.service(call.owner, known.arn) or known, call)}

    def _clusters(self, call: Call) -> list[Cluster]:
        """Return the clusters of a region. One of the name `default` always exists."""
        found = [c for c in self._ecs.store.read().clusters if (c.owner, c.region) == (call.owner, call.region)]
        if all(cluster.name != _DEFAULT_CLUSTER for cluster in found):
            found.append(Cluster(call.owner, call.region, _DEFAULT_CLUSTER, ""))
        return found

    def _services(self, call: Call) -> list[Service]:
        """Return the services of the cluster that a call names. Raises `AwsError` if there is no such cluster."""
        key = call.parameters.get("cluster", _DEFAULT_CLUSTER)
        cluster = next((c for c in self._clusters(call) if key in (c.name, c.arn)), None)
        if cluster is None:
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        return [service for service in self._all(call) if service.cluster == cluster.name]

    def _all(self, call: Call) -> list[Service]:
        return [s for s in self._ecs.store.read().services if (s.owner, s.region) == (call.owner, call.region)]

    def _definitions(self, call: Call) -> list[TaskDefinition]:
        known = self._ecs.store.read().task_definitions
        return [t for t in known if (t.owner, t.region) == (call.owner, call.region)]

    def _tasks(self, services: Sequence[Service]) -> list[Task]:
        return [task for service in services for task in tasks_of(service, self._containers)]

    def _definition(self, task: Task) -> TaskDefinition | None:
        """Return the revision that a task was made from."""
        release = self._ecs.runs.releases.get(task.service.pipeline, task.release)
        return self._ecs.store.of_sha(task.service.owner, release.sha) if release else None

    def _cluster_shape(self, cluster: Cluster, call: Call) -> dict[str, Any]:
        services = [service for service in self._all(call) if service.cluster == cluster.name]
        return cluster_shape(cluster, len(services), self._tasks(services))

    def _shape(self, service: Service, call: Call) -> dict[str, Any]:
        runs = self._ecs.runs.runs.latest(service.pipeline, limit=_LAST_RUNS)
        wanted = self._ecs.definition(service)
        if wanted is None:
            raise AwsError("ServerException", f"{service.wanted.task_definition} does not exist any more", 500)
        is_rolling = bool(runs) and not runs[0].state.over
        former = self._ecs.present(service) if is_rolling else None
        shape = service_shape(service, wanted, former, tasks_of(service, self._containers), runs)
        tags = {"tags": tags_of(service.properties)} if "TAGS" in call.parameters.get("include", ()) else {}
        return {**shape, "desiredCount": self._ecs.services.count(service), **tags}


def _is_wanted(status: str) -> bool:
    return status != "STOPPED"


def _missing(key: str) -> dict[str, str]:
    return {"arn": key, "reason": "MISSING"}


def _page(call: Call, name: str, found: Sequence[str]) -> dict[str, Any]:
    """Return a part of a list, and the token of the next one."""
    token = call.parameters.get("nextToken", "0")
    if not token.isdecimal():
        raise AwsError("InvalidParameterException", "Invalid token in request.")
    start = int(token)
    end = start + min(call.parameters.get("maxResults", _PAGE), _PAGE)
    return {name: list(found[start:end]), **({"nextToken": str(end)} if end < len(found) else {})}
