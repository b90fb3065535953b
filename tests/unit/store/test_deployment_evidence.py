"""From when on a deployment is judged."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pipeline.store.deployment_evidence import EvidenceStart
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock


def test_the_first_start_counts(store: Store) -> None:
    """Each service of each deployment has its own, and a later one does not replace it."""
    deployment = store.deployments.begin("shop", 1, None, 1)
    start = EvidenceStart(FakeClock().now().wall, {"shop.web.r1.0a": 2})
    assert store.deployment_evidence.start(deployment.id, "web") is None
    store.deployment_evidence.begin(deployment.id, "web", start)
    store.deployment_evidence.begin(deployment.id, "web", replace(start, since=start.since + timedelta(seconds=9)))
    assert store.deployment_evidence.start(deployment.id, "web") == start
    assert store.deployment_evidence.start(deployment.id, "worker") is None
    store.deployments.finish(deployment, DeploymentState.FAILED)
    later = store.deployments.begin("shop", 2, None, 1)
    assert store.deployment_evidence.start(later.id, "web") is None
