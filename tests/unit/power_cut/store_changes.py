"""A program that changes the database, and writes a byte to `acknowledged` after each transaction."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.base.home import Home
from pipeline.event_kinds import EventKind
from pipeline.events import Event
from pipeline.store.queue import RunRequest
from pipeline.store.records import DeploymentState, Trigger
from pipeline.store.store import Store

root = Path(sys.argv[1])
home = Home.locate({"PENSTOCK_HOME": str(root / "home")})


def finish(store: Store) -> None:
    deployment = store.deployments.open("shop")
    assert deployment is not None
    store.deployments.finish(deployment, DeploymentState.SUCCEEDED, wanted={"web": 2})


with (root / "acknowledged").open("wb", buffering=0) as acknowledged, Store(home.database) as store:
    queue = store.queue
    for change in (
        lambda: None,
        lambda: queue.put("shop", [RunRequest(Trigger.HOOK, sha="a" * 40)], heads={"main": (None, "a" * 40)}),
        lambda: queue.claim("shop", "superseded"),
        lambda: queue.enter("shop", 1, "deploy"),
        lambda: store.releases.create("shop", 1, sha="a" * 40, subject="", image_id="i", image_tag="t", spec="{}"),
        lambda: store.deployments.begin("shop", 1, None, 1),
        lambda: store.events.record(Event(EventKind.DEPLOYMENT_STARTED, "to release 1", "shop", 1)),
        lambda: finish(store),
    ):
        change()
        acknowledged.write(b".")
