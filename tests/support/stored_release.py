"""A release in a store, as a deployment leaves it, without any replica."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store


def add_release(
    store: Store, folder: Path, text: str, sha: str, subject: str = "One", image: str = "a", **done: Any
) -> int:
    """Make a release of a pipeline.yaml the active one. Return its number.

    The file is written into `folder`. `done` are arguments of `Deployments.finish`.
    """
    file = folder / "pipeline.yaml"
    file.write_text(text)
    configuration = load(file)
    name, image_id = configuration.pipeline.name, f"sha256:{image}"
    spec = ReleaseSpec.of(configuration, image_id=image_id, image_tag=f"{name}:{image}", sha=sha, subject=subject)
    active = store.releases.active(name)
    made = store.releases.create(
        name, 1, sha=sha, subject=subject, image_id=image_id, image_tag=spec.image_tag, spec=spec.model_dump_json()
    )
    row = store.deployments.begin(name, 1, active.number if active else None, made.number)
    store.deployments.finish(row, DeploymentState.SUCCEEDED, **done)
    return made.number
