"""A served pipeline.yaml is read again when it changes, or one of its environment files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base.home import Home
from pipeline.daemon.served_file import ServedFile
from pipeline.store.store import Store
from tests.support.pipeline_yaml import MINIMAL


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedFile]:
    (tmp_path / "pipeline.yaml").write_text(
        MINIMAL.replace("target_group: web}", "target_group: web, env_file: [.env, {path: b.env, required: false}]}")
    )
    (tmp_path / ".env").write_text("A=1\n")
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        yield ServedFile(tmp_path / "pipeline.yaml", home, store, ())


def environment(served: ServedFile) -> dict[str, str]:
    return served.pipeline_context.configuration.pipeline.deploy.environment


def test_a_changed_environment_file_is_read_again(served: ServedFile) -> None:
    """Also one that was missing. Nothing is read again without a change."""
    assert not served.reload_if_changed()
    (served.file.parent / ".env").write_text("A=longer\n")
    assert served.reload_if_changed()
    assert environment(served) == {"A": "longer"}
    (served.file.parent / "b.env").write_text("B=2\n")
    assert served.reload_if_changed()
    assert environment(served) == {"A": "longer", "B": "2"}
    assert not served.reload_if_changed()


def test_a_removed_environment_file_is_reported_once(served: ServedFile) -> None:
    """The previous variables stay. When the file is back, it is read."""
    (served.file.parent / ".env").unlink()
    assert not served.reload_if_changed()
    assert served.error is not None
    assert ".env is missing in" in served.error.message
    assert environment(served) == {"A": "1"}
    error = served.error
    assert not served.reload_if_changed()
    assert served.error is error
    (served.file.parent / ".env").write_text("A=back\n")
    assert served.reload_if_changed()
    assert (served.error, environment(served)) == (None, {"A": "back"})
