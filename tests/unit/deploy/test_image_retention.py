"""The images of a pipeline that are removed after a deployment."""

from __future__ import annotations

import json

from pipeline.api import StageContext
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_RUN
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
