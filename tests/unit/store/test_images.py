"""The build cache, and the images that runs pin."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.events import Event
from pipeline.store.records import RunState
from pipeline.store.store import Store
from tests.support.started_runs import begin_run


def test_an_image_is_cached_per_pipeline_and_key(store: Store) -> None:
    """A second image with the same key replaces the first."""
    store.images.cache("shop", "built:1", "sha256:1")
    store.images.cache("shop", "built:1", "sha256:2")
    assert store.images.cached("shop", "built:1") == "sha256:2"
    assert store.images.cached("blog", "built:1") is None


def test_a_deleted_image_is_not_in_any_cache(store: Store) -> None:
    """A deleted image is removed from the cache of all keys and pipelines."""
    for pipeline in ("shop", "blog"):
        store.images.cache(pipeline, "built:1", "sha256:1")
        store.images.cache(pipeline, "tested:1", "sha256:2")
    store.images.delete("sha256:1")
    assert [store.images.cached(p, "built:1") for p in ("shop", "blog")] == [None, None]
    assert [store.images.cached(p, "tested:1") for p in ("shop", "blog")] == ["sha256:2", "sha256:2"]


def test_a_cleared_cache(store: Store) -> None:
    """Only the one pipeline builds again."""
    for pipeline in ("shop", "blog"):
        store.images.cache(pipeline, "built:1", "sha256:1")
    store.images.clear_cache("shop")
    assert [store.images.cached(p, "built:1") for p in ("shop", "blog")] == [None, "sha256:1"]


def test_an_image_is_pinned_until_its_run_is_over(store: Store) -> None:
    """A run pins its image only in its own pipeline, and only until it is over."""
    run = begin_run(store, "shop")
    store.images.pin("shop", run.number, "sha256:1")
    assert store.images.pinned("shop") == {"sha256:1"}
    assert store.images.pinned("blog") == set()
    store.runs.finish("shop", run.number, RunState.SUCCEEDED)
    assert store.images.pinned("shop") == set()


def test_the_names_of_an_image_in_registries(store: Store) -> None:
    """They are those of the runs that pushed it, each once, the latest first."""
    first, second, other = (begin_run(store, "shop").number for _ in range(3))
    for run, image, name, digest in (
        (first, "sha256:1", "example.com/shop:1", "sha256:a"),
        (second, "sha256:1", "example.com/shop:2", "sha256:a"),
        (second, "sha256:1", "example.com:5000/shop:2", "sha256:a"),
        (other, "sha256:2", "example.com/shop:3", "sha256:b"),
    ):
        store.images.pin("shop", run, image)
        event = Event("image.pushed", "pushed", "shop", run, {"image": name, "digest": digest}, datetime.now(UTC))
        store.events.record(event)
    assert store.images.registry_names("shop", "sha256:1") == (
        "example.com:5000/shop@sha256:a",
        "example.com/shop@sha256:a",
    )
    assert store.images.registry_names("blog", "sha256:1") == ()
