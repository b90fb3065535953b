"""The docker command that builds with BuildKit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.docker import command
from pipeline.engine.docker.builders import choose_builder
from pipeline.engine.docker.command import BuildKitCommand, find_buildkit, forget_commands
from pipeline.engine.docker.images import DockerImages

SCRIPT = """\
#!/bin/sh
echo "$*" >> {log}
case "$*" in
  "buildx version") {buildx} ;;
  --version) echo "Docker version {version}, build 0" ;;
esac
"""


@pytest.fixture(autouse=True)
def only_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Search only PATH, and forget what was found."""
    monkeypatch.setattr(command, "USUAL_FOLDERS", ())
    forget_commands()
    yield
    forget_commands()


def install(folder: Path, version: str, buildx: str | None = None) -> str:
    folder.mkdir()
    found = f'echo "github.com/docker/buildx v{buildx} 0"' if buildx else "exit 1"
    (folder / "docker").write_text(SCRIPT.format(log=folder / "log", buildx=found, version=version))
    (folder / "docker").chmod(0o755)
    return str(folder / "docker")


def find(*folders: Path) -> tuple[BuildKitCommand | None, str]:
    return find_buildkit({"PATH": ":".join([*map(str, folders), "/usr/bin/none"])})


def test_the_first_command_that_can_is_taken(tmp_path: Path) -> None:
    """A newer one without the plug-in cannot, and the reason is kept."""
    new, old = tmp_path / "new", tmp_path / "old"
    install(new, "28.2.2")
    path = install(old, "20.10.24+dfsg1")
    found, reason = find(new, old)
    assert found is not None
    assert (found.path, found.buildx) == (path, False)
    assert found.description == f"docker build with BuildKit ({path} 20.10.24+dfsg1)"
    assert reason == f"{new}/docker 28.2.2 has no buildx plug-in"


def test_the_plugin_is_taken_where_it_is(tmp_path: Path) -> None:
    """It comes before the command's own client."""
    path = install(tmp_path / "a", "20.10.24", buildx="0.12.1")
    found, reason = find(tmp_path / "a")
    assert found == BuildKitCommand(path, True, f"docker buildx build ({path}, buildx 0.12.1)")
    assert reason == ""


def test_the_search_is_made_once(tmp_path: Path) -> None:
    """Later builds start no process for it."""
    install(tmp_path / "a", "20.10.24")
    assert find(tmp_path / "a") == find(tmp_path / "a")
    assert sorted((tmp_path / "a" / "log").read_text().splitlines()) == ["--version", "buildx version"]


@pytest.mark.parametrize("version", ["18.09.1", "23.0.0", "28.2.2", "nonsense"])
def test_commands_that_cannot(tmp_path: Path, version: str) -> None:
    """Older ones have an experimental BuildKit, and newer ones need the plug-in."""
    install(tmp_path / "a", version)
    assert find(tmp_path / "a")[0] is None


def test_without_any_command(tmp_path: Path) -> None:
    """The reason says so. A folder or a file that cannot be run is no command."""
    (tmp_path / "docker").mkdir()
    assert find(tmp_path) == (None, "there is no docker command")


class Client:
    """A client of an engine."""

    def __init__(self, address: str, api_version: str = "1.41", component: str = "Engine") -> None:
        self.address, self.api_version, self._component = address, api_version, component

    def version(self) -> dict[str, object]:
        """Return its platform and its parts."""
        return {"Os": "linux", "Arch": "arm64", "Components": [{"Name": self._component}]}


@pytest.mark.parametrize(
    ("client", "variables", "description"),
    [
        (Client("a"), {"DOCKER_BUILDKIT": "0"}, "the classic builder, because DOCKER_BUILDKIT is 0"),
        (Client("b", "1.38"), {}, "the classic builder, because API version 1.38 of the engine has no BuildKit"),
        (
            Client("c", component="Podman Engine"),
            {},
            "the classic builder, because the engine is not Docker's, and has no BuildKit",
        ),
        (Client("d"), {"PATH": ""}, "the classic builder, because there is no docker command"),
        (Client("e"), {}, "docker build with BuildKit ({path} 20.10.24)"),
        (Client("f"), {"DOCKER_BUILDKIT": "1"}, "docker build with BuildKit ({path} 20.10.24)"),
    ],
)
def test_the_choice_of_a_builder(tmp_path: Path, client: Client, variables: dict[str, str], description: str) -> None:
    """The description names the builder and the reason."""
    path = install(tmp_path / "a", "20.10.24")
    environment = {"PATH": str(tmp_path / "a"), **variables}

    def connect() -> object:
        raise EngineFault("not needed")

    builder = choose_builder(client, environment, "home", DockerImages(client, "home"), connect)  # type: ignore[arg-type]
    assert builder.description == description.format(path=path)
