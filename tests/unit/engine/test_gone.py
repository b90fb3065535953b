"""Objects that vanish while the engine removes or inspects them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import docker.errors
import pytest
import requests

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.containers import DockerContainers
from pipeline.engine.docker.images import DockerImages
from pipeline.engine.docker.networks import DockerNetworks

GONE = [
    (404, "No such image: sha256:0123"),
    (404, "No such container: 0123"),
    (404, "network 0123 not found"),
    (409, "No such image: sha256:0123"),
    (409, "Container 0123 is not running"),
    (409, "removal of container 0123 is already in progress"),
    (500, "unrecognized image ID sha256:0123"),
    (500, "layer does not exist"),
    (500, "open /var/lib/docker/image/overlay2/imagedb/content/sha256/0123: no such file or directory"),
    (500, "container 0123 is marked for removal and cannot be started"),
    (500, "error while removing network: network shop not found"),
]
IN_USE = [
    (409, "conflict: unable to delete 0123 (must be forced) - image is being used by stopped container 45"),
    (409, "conflict: unable to delete 0123 (cannot be forced) - image has dependent child images"),
]
REFUSED = [(500, "no space left on device"), (500, "driver failed"), (403, "network shop has active endpoints")]


class Client:
    """A client of the SDK whose calls fail, except those in `answers`."""

    def __init__(self, status: int, text: str, **answers: Any) -> None:
        self._error, self._answers = (status, text), answers
        self.removed: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **_: Any) -> Any:
            if name in self._answers:
                return self._answers[name]
            self.removed += [arguments[0]] if name == "remove_image" else []
            response = requests.Response()
            response.status_code = self._error[0]
            raise docker.errors.APIError("failed", response, self._error[1])

        return call


def calls(client: Client) -> dict[str, Callable[[], object]]:
    """Return every call that removes, stops or looks for an object."""
    networks = DockerNetworks(client, "home")
    containers, images = DockerContainers(client, "home", networks), DockerImages(client, "home")
    return {
        "image": lambda: images.id("sha256:0123"),
        "image removed": lambda: images.remove("sha256:0123"),
        "stages removed": lambda: images.remove_stages(["sha256:0123"]),
        "container removed": lambda: containers.remove("0123"),
        "container killed": lambda: containers.kill("0123"),
        "restart policy": lambda: containers.set_restart_policy("0123", "no"),
        "logs": lambda: containers.logs("0123"),
        "tar": lambda: list(containers.tar("0123", "/")),
        "network removed": lambda: networks.remove("shop"),
        "private network removed": lambda: networks.remove_private("0123"),
    }


@pytest.mark.parametrize(("status", "text"), GONE)
def test_what_is_gone_is_gone_in_whatever_words(status: int, text: str) -> None:
    """Every call that removes or looks for an object does nothing if it is gone."""
    for call in calls(Client(status, text, images=[])).values():
        call()


@pytest.mark.parametrize(("status", "text"), REFUSED)
def test_other_errors_are_not_taken_for_it(status: int, text: str) -> None:
    """They are faults of the engine."""
    for call in calls(Client(status, text, images=[])).values():
        with pytest.raises(EngineFault):
            call()


@pytest.mark.parametrize(("status", "text"), GONE)
def test_every_tag_of_a_vanishing_image_is_removed(status: int, text: str) -> None:
    """A tag that is gone does not keep the others. A tag of an earlier version has no home in it."""
    found = {"RepoTags": ["penstock/a:1", "penstock/0123456789ab/a:2", "other:1"], "Config": {"Labels": {}}}
    client = Client(status, text, inspect_image=found, images=[])
    assert DockerImages(client, "home").remove("sha256:0123")
    assert client.removed == ["penstock/a:1", "penstock/0123456789ab/a:2", "sha256:0123"]


@pytest.mark.parametrize(("status", "text"), IN_USE)
def test_an_image_that_is_in_use_is_not_gone(status: int, text: str) -> None:
    """It stays."""
    client = Client(status, text, inspect_image={"RepoTags": None, "Config": {}}, images=[])
    assert not DockerImages(client, "home").remove("sha256:0123")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Error processing tar file: write /layer.tar: no space left on device", "free disk space; "),
        (
            "could not find an available, non-overlapping IPv4 address pool among the defaults",
            "remove networks that nothing uses: ",
        ),
        (
            "listen tcp4 10.9.9.9:24907: bind: cannot assign requested address",
            "its machine lacks this address; ",
        ),
    ],
)
def test_a_fault_of_the_machine_has_a_hint(text: str, hint: str) -> None:
    """Whether the engine refuses the call or reports it while it loads an image."""
    client = Client(500, text)
    with pytest.raises(EngineFault) as caught:
        DockerImages(client, "home").tag("sha256:0123", "penstock/home/shop:1")
    assert (caught.value.hint or "").startswith(hint)


def test_an_image_that_does_not_fit_on_the_disk() -> None:
    """The engine reports it as the result of the load."""
    client = Client(500, "", load_image=[{"error": "write /layer.tar: no space left on device"}])
    with pytest.raises(EngineFault) as caught:
        DockerImages(client, "home").load(iter([b""]))
    assert caught.value.hint == "free disk space; `docker system df` shows what uses it"
