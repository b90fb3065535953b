"""The images of a pipeline that are removed after a deployment."""

from __future__ import annotations

import json

from pipeline.api import StageContext
from pipeline.base.errors import EngineFault
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_RUN
from pipeline.events import Event
from pipeline.testing.fakes.engine import FakeEngine
from stages.deploy.image_retention import prune

NAME = "registry.example.com/shop:1"


def test_a_name_that_a_killed_push_has_left_keeps_no_image(context: StageContext) -> None:
    """So `pipeline down` removes it."""
    engine = FakeEngine()
    image = engine.images.add_built(b"1", "penstock/shop:1", {LABEL_PIPELINE: "shop", LABEL_RUN: "1"})
    engine.images.tag(image, NAME)
    left = context.home.pushes("shop") / "1.json"
    left.parent.mkdir(parents=True)
    left.write_text(json.dumps({"name": NAME, "image": image, "before": None}))
    prune(context, engine, keep=0)
    assert engine.images.for_pipeline("shop") == {}
    assert not left.exists()


def test_images_on_hosts_are_removed_too(context: StageContext) -> None:
    """A host that fails keeps no other one from it. The next deployment removes what is left there."""
    labels = {LABEL_PIPELINE: "shop", LABEL_RUN: "1"}
    engines = {name: FakeEngine() for name in ("local", "app1", "app2")}
    for engine in engines.values():
        engine.images.add_built(b"1", "penstock/shop:1", labels)
    local, hosts = engines.pop("local"), engines
    hosts["app1"].faults.fail("images.remove", EngineFault("host app1: no answer"))
    events: list[Event] = []
    context.events.subscribe(events.append)
    prune(context, local, keep=0, hosts=hosts)
    left = {name: len(engine.images.for_pipeline("shop")) for name, engine in hosts.items()}
    assert left == {"app1": 1, "app2": 0}
    assert local.images.for_pipeline("shop") == {}
    (event,) = events
    assert event.message == "an old image on host app1 could not be removed: host app1: no answer"
    prune(context, local, keep=0, hosts=hosts)
    assert hosts["app1"].images.for_pipeline("shop") == {}
