"""The second name of the registry's file, and its reserves, while changes are appended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile

DECLARED = Declaration.model_validate(
    {
        "target_groups": {"web": {"port": 80}},
        "load_balancers": {"edge": {"listeners": [{"port": 8080, "default_action": {"forward": "web"}}]}},
    }
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A registry's file with one target group."""
    RegistryFile(tmp_path / "registry.json").write(Registry().declare("shop", DECLARED))
    return tmp_path / "registry.json"


def register(path: Path, *ids: str) -> None:
    for id_ in ids:
        file = RegistryFile(path)
        target = Target(id=id_, address="10.0.0.1", port=80)
        file.write(file.read().register("shop", "web", [target], ramps=False))


def _second(path: Path) -> Path:
    return path.with_name("registry.json.kept")


def _restore_a_copy(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def _lose_the_second_name(path: Path) -> None:
    _second(path).unlink()


def _keep_a_former_file(path: Path) -> None:
    """As a kill does after the file was replaced, and before it has its second name."""
    former = path.with_name("former")
    former.write_bytes(path.read_bytes())
    former.replace(_second(path))


@pytest.mark.parametrize("happens", [_restore_a_copy, _lose_the_second_name, _keep_a_former_file])
def test_the_second_name_follows_every_change(path: Path, happens: Callable[[Path], None]) -> None:
    """If the first name is removed then, nothing that was registered is lost."""
    register(path, "a")
    happens(path)
    register(path, "b", "c")
    path.unlink()
    found = RegistryFile(path).read().registrations("shop", "web")
    assert [registration.target.id for registration in found] == ["a", "b", "c"]


def test_a_missing_reserve_is_created_by_the_next_change(path: Path) -> None:
    """As a whole write does, whenever there is space."""
    reserve = path.with_name("registry.json.reserve1")
    reserve.unlink()
    register(path, "a")
    assert reserve.stat().st_size > path.stat().st_size
