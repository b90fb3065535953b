"""The images that hosts pull from registries."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.api import StageContext
from pipeline.base.errors import EngineFault
from pipeline.events import Event
from pipeline.testing.fakes.engine import FakeEngine
from stages.deploy.host_images import HostImages
from tests.support.started_runs import begin_run

NAME = "registry.example.com/shop:1"


def test_a_host_pulls_what_a_run_has_pushed(context: StageContext) -> None:
    """One that cannot is sent the image, and an event says why."""
    home, near, far = FakeEngine(), FakeEngine(), FakeEngine()
    image = home.images.add_built(b"1" * 1000, "penstock/shop:1", {})
    home.images.tag(image, NAME)
    digest = home.images.push(NAME)
    home.images.untag(NAME)
    for engine in (near, far):
        engine.images.share_registry(home.images)
    assert begin_run(context.store, "shop").number == context.run
    context.store.images.pin("shop", context.run, image)
    pushed = {"image": NAME, "digest": digest}
    context.store.events.record(Event("image.pushed", "", "shop", context.run, pushed, datetime.now(UTC)))
    far.faults.fail("images.pull", EngineFault("no route to host"))
    images = HostImages(context, home)
    for name, engine in (("near", near), ("far", far)):
        images.send_before_start(name, engine, image)
    assert near.images.id(image) == far.images.id(image) == image
    assert (near.faults.calls["images.load"], far.faults.calls["images.load"]) == (0, 1)
    fallbacks = [each for each in context.store.events.latest("shop") if each.kind == "image.fallback"]
    reason = f"host far cannot pull registry.example.com/shop@{digest}: no route to host"
    assert [each.fields for each in fallbacks] == [{"image": image, "reason": reason}]
    told = [each.message for each in context.store.events.latest("shop") if each.kind == "image.sent"]
    tag = image.removeprefix("sha256:")[:12]
    assert told[0] == f"image {tag} pulled by near"
    assert told[1].startswith(f"image {tag} sent to far: ")
    assert told[1].endswith(" kB")
