"""The images of the Docker Engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from pipeline.base.errors import EngineFault, LayerMissing
from pipeline.engine.docker.faults import MAKE_ROOM, ignore_not_found, is_gone, translate_errors
from pipeline.engine.docker.ignore import DockerIgnore
from pipeline.engine.interfaces import RegistryLogin
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_RUN, LABEL_STAGES, is_own_tag

_CHUNK = 256 * 1024
# Of the graph drivers, and of containerd's image store.
_NO_LAYER = re.compile(r"no such file or directory|content digest \S+: not found")


class DockerImages:
    """The images of Docker. Built images carry the label of `home`."""

    def __init__(self, api: Any, home: str) -> None:
        self._api = api
        self._home = home

    def id(self, reference: str) -> str | None:
        """Return the id of an image, or None if Docker does not have it."""
        with translate_errors(self._api), ignore_not_found():
            return str(self._api.inspect_image(without_tag(reference))["Id"])
        return None

    def size(self, image: str) -> int:
        """Return the size of an image in bytes."""
        with translate_errors(self._api):
            return int(self._api.inspect_image(image)["Size"])

    def tag(self, image: str, tag: str) -> None:
        """Add a tag to an image."""
        repository, _, version = tag.rpartition(":")
        with translate_errors(self._api):
            self._api.tag(image, repository, version)

    def untag(self, tag: str) -> None:
        """Remove a tag. An image stays if it has another one."""
        with translate_errors(self._api):
            self._remove(tag)

    def has_name(self, image: str) -> bool:
        """Return whether an image has a tag, or a digest of a registry."""
        with translate_errors(self._api), ignore_not_found():
            found = self._api.inspect_image(image)
            return bool(found.get("RepoTags") or found.get("RepoDigests"))
        return False

    def healthcheck(self, image: str) -> tuple[str, ...] | None:
        """Return the command of the image's HEALTHCHECK, or None without one. It exits with 0 if healthy."""
        with translate_errors(self._api):
            check = self._api.inspect_image(image)["Config"].get("Healthcheck") or {}
        kind, *command = check.get("Test") or ("NONE",)
        return {"CMD": tuple(command), "CMD-SHELL": ("/bin/sh", "-c", *command)}.get(kind)

    def pull(self, reference: str) -> None:
        """Pull an image from its registry."""
        from docker.utils import parse_repository_tag

        name, tag = parse_repository_tag(without_tag(reference))
        for _ in self._transfer(self._api.pull, name, tag=tag or "latest"):
            pass

    def push(self, reference: str, login: RegistryLogin | None = None) -> str:
        """Push an image to its registry under this name, and return the digest that it has there."""
        from docker.utils import parse_repository_tag

        name, tag = parse_repository_tag(reference)
        auth = {} if login is None else {"auth_config": {"username": login.user, "password": login.password}}
        digest = ""
        with self._without_timeout():
            for message in self._transfer(partial(self._api.push, **auth), name, tag=tag or "latest"):
                digest = message.get("aux", {}).get("Digest", digest)
        if not digest:
            raise EngineFault(f"Docker: the push of {reference} ended without a digest")
        return digest

    def registry_names(self, image: str) -> tuple[str, ...]:
        """Return the names with a digest under which registries have an image."""
        with translate_errors(self._api), ignore_not_found():
            return tuple(self._api.inspect_image(image).get("RepoDigests") or ())
        return ()

    def _transfer(self, call: Callable[..., Any], name: str, *, tag: str) -> Iterator[dict[str, Any]]:
        """Yield the messages of a pull or a push. Raises `EngineFault` with what a registry reports."""
        try:
            with translate_errors(self._api):
                for message in call(name, tag=tag, stream=True, decode=True):
                    if "error" in message:
                        raise EngineFault(message["error"])
                    yield message
        except EngineFault as error:
            error.hint = error.hint or getattr(getattr(self._api, "_auth_configs", None), "problem", None)
            raise

    def ignores(self, dockerignore: str) -> Callable[[str], bool]:
        """Return a predicate that is true for paths that a `.dockerignore` of this text excludes."""
        return DockerIgnore(dockerignore).excludes

    def for_pipeline(self, pipeline: str) -> dict[str, str]:
        """Return the id of every image built for a pipeline, with the run that built it."""
        found = self._labelled(f"{LABEL_PIPELINE}={pipeline}")
        return {str(image["Id"]): image["Labels"].get(LABEL_RUN, "") for image in found}

    def ids(self) -> set[str]:
        """Return the id of every image, those of single steps included."""
        with translate_errors(self._api):
            return {str(image["Id"]) for image in self._api.images(all=True)}

    def layers(self, image: str) -> tuple[str, ...]:
        """Return the digests of an image's layers, the lowest one first. Empty if the image is gone."""
        with translate_errors(self._api), ignore_not_found():
            return tuple(self._api.inspect_image(image)["RootFS"].get("Layers") or ())
        return ()

    def save(self, image: str) -> Iterator[bytes]:
        """Yield an archive of an image."""
        with translate_errors(self._api), self._without_timeout():
            yield from self._api.get_image(image, _CHUNK)

    def load(self, archive: Iterator[bytes]) -> None:
        """Add the image of an archive. Docker reads all of it before it adds anything."""
        with translate_errors(self._api), self._without_timeout():
            for message in self._api.load_image(archive):
                if error := message.get("error"):
                    hint = MAKE_ROOM if "no space left" in error else None
                    raise (LayerMissing if _NO_LAYER.search(error) else EngineFault)(f"Docker: {error}", hint=hint)

    @contextmanager
    def _without_timeout(self) -> Iterator[None]:
        """Let Docker prepare, send or unpack layers for as long as it takes. The caller has the limit.

        The connection must not be used for other calls meanwhile, as with `cancellable`.
        """
        timeout, self._api.timeout = self._api.timeout, None
        try:
            yield
        finally:
            self._api.timeout = timeout

    def own_stages(self) -> set[str]:
        """Return the images of stages that belong to an image of this home."""
        return {stage for image in self._labelled() for stage in _stages(image["Labels"])}

    def remove(self, image: str) -> bool:
        """Remove an image with its tags and stages. Returns False if it is in use or has a tag of another program."""
        with translate_errors(self._api):
            found: dict[str, Any] = {}
            with ignore_not_found():
                found = self._api.inspect_image(image)
            own = [tag for tag in found.get("RepoTags") or () if is_own_tag(tag)]
            # Removing the last tag removes the image.
            if not all(self._remove(name) for name in (*own, *([image] if found else ()))):
                return False
        stages = set(_stages((found.get("Config") or {}).get("Labels")))
        self.remove_stages(stages and stages - self.own_stages())
        return True

    def remove_stages(self, stages: Iterable[str]) -> None:
        """Remove the images of stages, unless they are in use."""
        with translate_errors(self._api):
            for stage in stages:
                self._remove(stage)

    def _remove(self, name: str) -> bool:
        """Remove a tag, or an image that has at most one. Returns False if it is in use."""
        import docker.errors

        with ignore_not_found():
            try:
                self._api.remove_image(name)
            except docker.errors.APIError as error:
                if error.status_code == 409 and not is_gone(error):
                    return False
                raise
        return True

    def _labelled(self, *labels: str) -> list[dict[str, Any]]:
        with translate_errors(self._api):
            found: list[dict[str, Any]] = self._api.images(filters={"label": [f"{LABEL_HOME}={self._home}", *labels]})
        return found


def without_tag(reference: str) -> str:
    """Return a reference without its tag if it has a digest, which then names the image."""
    name, at, digest = reference.partition("@")
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}{at}{digest}" if at else reference


def _stages(labels: Mapping[str, str] | None) -> list[str]:
    text = (labels or {}).get(LABEL_STAGES, "")
    return text.split(",") if text else []
