"""AWS::ECS::Cluster: a name that services are grouped by."""

from __future__ import annotations

from typing import Any

from pipeline.base.errors import ConfigError
from pipeline.ecs.ecs import Ecs
from pipeline.ecs.records import Cluster
from pipeline.stacks.provider import Pending, Properties, StackContext, State

TYPE = "AWS::ECS::Cluster"
_REASON = "a name for services: their tasks run on this machine"


class ClusterProperties(Properties):
    """The properties of a cluster. All but its name and tags have no meaning on one machine."""

    cluster_name: str | None = None
    capacity_providers: list[str] | None = None
    cluster_settings: list[dict[str, Any]] | None = None
    configuration: dict[str, Any] | None = None
    default_capacity_provider_strategy: list[dict[str, Any]] | None = None
    service_connect_defaults: dict[str, Any] | None = None
    tags: list[dict[str, str]] | None = None


class EcsCluster:
    """Keeps clusters. `Ref` is the name."""

    properties = ClusterProperties
    replaces = frozenset({"ClusterName"})

    def __init__(self, ecs: Ecs, context: StackContext) -> None:
        self._ecs = ecs
        self._context = context

    def create(self, token: str, properties: ClusterProperties) -> State | Pending:
        """Keep a cluster."""
        name = properties.cluster_name or token
        return self._put(Cluster(self._context.owner, self._context.region, name, token), properties)

    def find(self, token: str) -> str | None:
        """Find a cluster by its token."""
        found = self._found(token)
        return found.name if found and found.token == token else None

    def read(self, physical_id: str) -> State | None:
        """Return the cluster."""
        found = self._found(physical_id)
        return _state(found) if found else None

    def update(
        self,
        physical_id: str,
        before: ClusterProperties,  # noqa: ARG002
        after: ClusterProperties,
    ) -> State | Pending:
        """Keep the cluster with other properties."""
        found = self._found(physical_id)
        if found is None:
            raise ConfigError(f"Cluster not found: {physical_id}")
        return self._put(found, after)

    def delete(self, physical_id: str) -> Pending | None:
        """Remove a cluster. Raises `ConfigError` while it has services."""
        store, owner = self._ecs.store, self._context.owner
        found = self._found(physical_id)
        if found is None:
            return None
        if any((s.owner, s.region, s.cluster) == (owner, found.region, found.name) for s in store.read().services):
            raise ConfigError("The Cluster cannot be deleted while Services are active.")
        store.drop(owner, found.arn)
        return None

    def _found(self, key: str) -> Cluster | None:
        return self._ecs.store.cluster(self._context.owner, self._context.region, key)

    def _put(self, cluster: Cluster, properties: ClusterProperties) -> State:
        kept = Cluster(cluster.owner, cluster.region, cluster.name, cluster.token, written(properties))
        self._ecs.store.put_cluster(kept)
        return _state(kept)


def written(properties: Properties) -> dict[str, Any]:
    """Return properties as they were written in the template."""
    return properties.model_dump(mode="json", exclude_unset=True, by_alias=True)


def _state(cluster: Cluster) -> State:
    return State(cluster.name, {"Arn": cluster.arn}, cluster.properties, _REASON)
