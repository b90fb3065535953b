"""The registry: declared names, and the file on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline import __version__
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from pipeline.base.clock import Stamp
from pipeline.base.errors import BalancerFault, ConfigError

TARGET = Target(id="web-1", address="127.0.0.1", port=80)


def declaration(forward: str = "web") -> Declaration:
    return Declaration.model_validate(
        {
            "target_groups": {"web": {"port": 80}, "api": {"port": 80}},
            "load_balancers": {"edge": {"listeners": [{"port": 8080, "default_action": {"forward": forward}}]}},
        }
    )


REGISTRY = Registry().declare("shop", declaration())


@pytest.mark.parametrize(
    "use",
    [
        lambda owner, group: REGISTRY.group(owner, group),
        lambda owner, group: REGISTRY.registrations(owner, group),
        lambda owner, group: REGISTRY.register(owner, group, [TARGET]),
        lambda owner, group: REGISTRY.deregister(owner, group, "web-1"),
    ],
)
def test_undeclared_names(use: Callable[[str, str], Any]) -> None:
    """An error for an unknown name lists the declared ones and suggests a similar one."""
    for names, told in {
        ("shop", "wbe"): "target group wbe of shop is not declared\ndid you mean web?; declared: api, web",
        ("shop", "x"): "target group x of shop is not declared\ndeclared: api, web",
        ("shpo", "web"): "owner shpo is not declared\ndid you mean shop?; declared: shop",
    }.items():
        with pytest.raises(ConfigError) as refused:
            use(*names)
        assert str(refused.value) == told


def test_a_time_that_is_only_a_wall_time_is_read(tmp_path: Path) -> None:
    """Registries that were written before boot times were stored have such times."""
    registry = REGISTRY.register("shop", "web", [TARGET])
    file = RegistryFile(tmp_path / "registry.json")
    file.write(registry)
    data = json.loads((tmp_path / "registry.json").read_text())
    (targets,) = data["targets"].values()
    wall = targets[0]["since"] = targets[0]["since"]["wall"]
    (tmp_path / "registry.json").write_text(json.dumps(data))
    (found,) = RegistryFile(tmp_path / "registry.json").read().registrations("shop", "web")
    assert found.since == Stamp.from_wall(datetime.fromisoformat(wall))


@pytest.mark.parametrize("call", ["register", "deregister", "abort_connections", "remove_target"])
def test_the_balancer_says_so_too(tmp_path: Path, call: str) -> None:
    """The balancer refuses an unknown name before it calls HAProxy, and changes nothing."""
    RegistryFile(tmp_path / "registry.json").write(REGISTRY)
    before = (tmp_path / "registry.json").read_text()
    with pytest.raises(ConfigError, match=r"^target group wbe of shop is not declared"):
        getattr(open_balancer(tmp_path), call)("shop", "wbe", TARGET if call == "register" else "web-1")
    assert (tmp_path / "registry.json").read_text() == before


def test_without_any_owner() -> None:
    """Without any owner, the error has no suggestion."""
    with pytest.raises(ConfigError, match=r"^owner shop is not declared\nnothing is declared$"):
        Registry().group("shop", "web")


def test_a_listener_that_forwards_to_an_unknown_group() -> None:
    """A declaration from Python must not forward to an unknown group."""
    with pytest.raises(ConfigError) as refused:
        Registry().declare("shop", declaration("wbe"))
    assert str(refused.value) == (
        "target group wbe, to which port 8080 of load balancer edge of shop forwards, is not declared\n"
        "did you mean web?; declared: api, web"
    )


@pytest.mark.parametrize("owner", ["", "a.b", "a b", "-a", "a" * 33, "a\nglobal", "a/b"])
def test_names_of_owners(owner: str) -> None:
    """Owners must have names that are valid for pipelines, because HAProxy's names hold them."""
    with pytest.raises(ConfigError, match="owner must be 1 to 32 letters, digits and dashes"):
        Registry().declare(owner, declaration())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "2001:db8::1"])
def test_addresses_of_targets(address: str) -> None:
    """IP addresses keep their form."""
    assert Target(id="a", address=address, port=80).address == address


@pytest.mark.parametrize(
    "address", ["", "localhost", "127.0.0.1:80", "[::1]", "300.0.0.1", "fe80::1%a weight 0", "::1\n"]
)
def test_what_is_no_address(address: str) -> None:
    """Only IP addresses are accepted, so nothing else gets into a command to HAProxy."""
    with pytest.raises(ValidationError, match="must be an IP address"):
        Target(id="a", address=address, port=80)


# --- On disk


def written(directory: Path, **changes: Any) -> RegistryFile:
    """Return a registry's file with some values changed. None removes a value."""
    path = directory / "registry.json"
    RegistryFile(path).write(REGISTRY)
    found = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in found.items() if value is not None}))
    return RegistryFile(path)


def test_who_wrote_it(tmp_path: Path) -> None:
    """The file names the version that wrote it, and is read as it was written."""
    file = written(tmp_path)
    assert json.loads((tmp_path / "registry.json").read_text())["written_by"] == __version__
    assert file.read().target_groups == REGISTRY.target_groups


@pytest.mark.parametrize(("writer", "named"), [("9.9.9", "Penstock 9.9.9"), (None, "an early version of Penstock")])
def test_of_another_version(tmp_path: Path, writer: str | None, named: str) -> None:
    """A file of another version is not called damaged, and the error names the version."""
    file = written(tmp_path, written_by=writer, weather="fine")
    with pytest.raises(BalancerFault) as refused:
        file.read()
    assert str(refused.value) == (
        f"{tmp_path / 'registry.json'} was written by {named}, and this is {__version__}, which does not understand "
        "it: weather: Extra inputs are not permitted\n"
        "use the version that wrote it. Or restore a good copy; or write {} into it and run `pipeline recover`, and "
        "each pipeline is down until its next run"
    )


@pytest.mark.parametrize("writer", ["9.9.9", None])
def test_of_another_version_but_understood(tmp_path: Path, writer: str | None) -> None:
    """A readable file of another version is accepted."""
    assert written(tmp_path, written_by=writer).read().target_groups == REGISTRY.target_groups


def test_damaged(tmp_path: Path) -> None:
    """A file with invalid JSON, text or content is refused as damaged."""
    spoilt = written(tmp_path, weather="fine")
    for content in (None, b"{", b"[]", b"\xff"):
        if content is not None:
            (tmp_path / "registry.json").write_bytes(content)
        with pytest.raises(BalancerFault, match="is damaged"):
            spoilt.read()
