"""Several pipelines build and remove images with shared layers at the same time."""

from __future__ import annotations

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import CacheVanished, StageFailed
from pipeline.engine.builder import BuildSpec
from pipeline.engine.docker.faults import build_failed
from pipeline.engine.hosts import local_engine

pytestmark = pytest.mark.docker

_BUILDERS, _BUILDS = 4, 10


@pytest.mark.parametrize("environment", [{"DOCKER_BUILDKIT": "0"}, {}], ids=["classic", "default"])
def test_a_layer_that_another_removes_is_told_apart_from_a_bad_dockerfile(
    base_image: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """A build is retried if another pipeline removed its layer, and not if the Dockerfile is bad."""
    (tmp_path / "Dockerfile").write_text(f"FROM {base_image}\nWORKDIR /app\nCOPY . .\nENV A=1\n")

    def build(builder: int) -> Counter[str]:
        outcomes = Counter[str]()
        with local_engine(f"image-test-{builder}", {**os.environ, **environment}) as engine:
            for number in range(_BUILDS):
                tag = f"penstock/image-test-{builder}:{number}"
                spec = BuildSpec(tmp_path, "Dockerfile", tag, labels={"number": str(number)})
                try:
                    image = engine.builder.build(spec, lambda _: None, threading.Event(), timedelta(minutes=1))
                    engine.images.remove(image)
                    outcomes["built"] += 1
                except CacheVanished:
                    outcomes["vanished"] += 1
        return outcomes

    with ThreadPoolExecutor(_BUILDERS) as pool:
        total = sum(pool.map(build, range(_BUILDERS)), Counter[str]())
    assert total.total() == _BUILDERS * _BUILDS
    assert total["built"] > total["vanished"]


@pytest.mark.parametrize(
    "said",
    [
        'unable to find image "sha256:f63cb022a95d"',
        "No such image: sha256:f63cb022a95d",
        "failed to get digest sha256:f63cb022a95d: open /var/lib/docker/image: no such file or directory",
        "failed to set parent sha256:f63cb022a95d: unknown parent image ID sha256:f63cb022a95d",
    ],
)
def test_the_builders_words_for_a_layer_that_was_removed(said: str) -> None:
    """The messages of Docker 20.10 for a removed layer are recognised, and those of a failed step are not."""
    assert isinstance(build_failed(said, []), CacheVanished)
    assert isinstance(build_failed("COPY failed: file not found", []), StageFailed)
