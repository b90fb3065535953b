"""Mounts below the paths of a policy: links are followed when a container is created."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from pipeline.api import StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.base.errors import ConfigError
from pipeline.config.release import ReleaseSpec
from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.clusters import open_cluster
from pipeline.engine.interfaces import Engine
from pipeline.engine.runtime import ReplicaSpec, Runtime
from pipeline.store.records import Release, ReleaseState
from pipeline.testing.fakes.engine import FakeEngine
from stages.deploy.leaving_replicas import LeavingReplicas
from stages.deploy.release_command import run_release_command
from stages.deploy.service_rollout import ServiceRollout
from stages.deploy.service_targets import Place


@pytest.fixture
def folder(context: StageContext, tmp_path: Path) -> Path:
    """A folder that the policy allows, with links that a container has made."""
    folder = tmp_path / "shop"
    (folder / "data").mkdir(parents=True)
    (folder / "link").symlink_to("data")
    (folder / "etc").symlink_to("/etc")
    policy = context.home.policy("shop")
    policy.parent.mkdir(parents=True)
    policy.write_text(f"volumes: [{folder}]\n")
    return folder


def start(context: StageContext, volume: str) -> list[ReplicaSpec]:
    """Start a replica. Return what the runtime got."""
    started: list[ReplicaSpec] = []
    runtime = cast("Runtime", SimpleNamespace(start=started.append))
    leaving = LeavingReplicas(context, open_cluster(ClusterSpec(), context.home.id, Path(), local=FakeEngine()))
    rollout = ServiceRollout(context, runtime, cast("Balancer", None), leaving, "web", Place("shop", "web"))
    spec = ReplicaSpec(pipeline="shop", release=1, run=1, template="t", image="app", port=80, volumes=(volume,))
    rollout.replica_set().start("shop.web.r1.a", spec)
    return started


def test_a_replica_gets_the_resolved_path(context: StageContext, folder: Path) -> None:
    """A link within the policy is followed."""
    (spec,) = start(context, f"{folder}/link:/x:ro")
    assert spec.volumes == (f"{folder}/data:/x:ro",)


def test_a_replica_whose_volume_leads_elsewhere_is_not_started(context: StageContext, folder: Path) -> None:
    """A link that was made after the run was checked is noticed."""
    with pytest.raises(ConfigError, match="its links lead out of volumes"):
        start(context, f"{folder}/etc:/x")


def test_neither_is_a_release_command(context: StageContext, folder: Path) -> None:
    """It has the volumes of the replicas."""
    settings = {"volumes": [f"{folder}/etc:/x"], "release_command": {"command": ["true"]}}
    spec = ReleaseSpec.of(context.configuration, image_id="sha256:a", image_tag="shop:a", sha="a" * 40, subject="Say")
    data = spec.model_dump(mode="json")
    data["services"]["web"] |= settings
    release = cast("Release", SimpleNamespace(pipeline="shop", number=1, state=ReleaseState.PENDING))
    with pytest.raises(ConfigError, match="its links lead out of volumes"):
        run_release_command(context, cast("Engine", None), release, ReleaseSpec.model_validate(data))
