"""The files that declare pipelines."""

from __future__ import annotations

from pathlib import Path

from pipeline.store.store import Store


def test_a_name_belongs_to_the_file_that_was_set_last(store: Store) -> None:
    """A name has no owner at first, and then belongs to the file that was set last."""
    assert store.pipelines.file("shop") is None
    for path in (Path("/srv/a/pipeline.yaml"), Path("/srv/b/pipeline.yaml")):
        store.pipelines.set_file("shop", path)
        assert store.pipelines.file("shop") == path
