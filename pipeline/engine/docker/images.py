"""The images of the Docker Engine."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from pipeline.base.errors import CacheVanished, EngineFault, StageFailed
from pipeline.engine.docker.faults import build_failed, ignore_not_found, translate_errors
from pipeline.engine.docker.ignore import DockerIgnore
from pipeline.engine.docker.translation import BUILD_CPU_SHARES
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_RUN, TAGS

_TAIL = 20
# Longer lines are passed on in pieces.
_MAX_LINE_LENGTH = 64 * 1024


class DockerImages:
    """The images of Docker. Built images carry the label of `home`."""

    def __init__(self, api: Any, home: str) -> None:
        self._api = api
        self._home = home

    def id(self, reference: str) -> str | None:
        """Return the id of an image, or None if Docker does not have it."""
        with translate_errors(self._api), ignore_not_found():
            return str(self._api.inspect_image(reference)["Id"])
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

    def healthcheck(self, image: str) -> tuple[str, ...] | None:
        """Return the command of the image's HEALTHCHECK, or None without one. It exits with 0 if healthy."""
        with translate_errors(self._api):
            check = self._api.inspect_image(image)["Config"].get("Healthcheck") or {}
        kind, *command = check.get("Test") or ("NONE",)
        return {"CMD": tuple(command), "CMD-SHELL": ("/bin/sh", "-c", *command)}.get(kind)

    def pull(self, reference: str) -> None:
        """Pull an image from its registry."""
        from docker.utils import parse_repository_tag

        name, tag = parse_repository_tag(reference)
        with translate_errors(self._api):
            for message in self._api.pull(name, tag=tag or "latest", stream=True, decode=True):
                if "error" in message:
                    raise EngineFault(message["error"])

    def build(
        self,
        context: IO[bytes],
        *,
        dockerfile: str,
        tag: str,
        args: Mapping[str, str],
        labels: Mapping[str, str],
        on_output: Callable[[str], None],
    ) -> str:
        """Build an image from a tar of its context and return its id. `on_output` gets each line of output.

        Raises `StageFailed` with the last lines if a step fails, and `CacheVanished` if the next try may succeed.
        """
        built = self._build(
            on_output, fileobj=context, custom_context=True, dockerfile=dockerfile, buildargs=dict(args)
        )
        # Each label passed to the builder costs a step. One LABEL instruction costs one step for all of them. It is in
        # a second Dockerfile, so the commit's Dockerfile stays unchanged.
        words = (f"{key}={shlex.quote(value)}" for key, value in {**labels, LABEL_HOME: self._home}.items())
        label_context = io.BytesIO(f"FROM {built}\nLABEL {' '.join(words)}\n".encode())
        try:
            return self._build(lambda _: None, fileobj=label_context, tag=tag)
        except StageFailed as error:
            # If the image was removed in between, the builder fails with a registry error instead.
            if self.id(built) is None:
                raise CacheVanished from error
            raise

    def _build(self, on_output: Callable[[str], None], **request: Any) -> str:
        image, last, rest = "", list[str](), ""

        def emit(lines: list[str]) -> None:
            for line in lines:
                if line.strip():
                    last[:] = [*last, line][-_TAIL:]
                    on_output(line)

        with translate_errors(self._api), _refusals_are_failures(last):
            for message in self._api.build(
                **request, container_limits={"cpushares": BUILD_CPU_SHARES}, rm=True, forcerm=True, decode=True
            ):
                # A message may end within a secret, and only whole lines can be masked. So join it with the next one.
                *lines, rest = (rest + str(message.get("stream", ""))).replace("\r\n", "\n").split("\n")
                emit(lines)
                if "error" in message or len(rest) > _MAX_LINE_LENGTH:
                    emit([rest])
                    rest = ""
                if "error" in message:
                    raise build_failed(message["error"], last)
                image = message.get("aux", {}).get("ID", image)
            emit([rest])
        if not image:
            raise EngineFault("Docker: the builder disconnected before the build finished")
        return image

    def ignores(self, dockerignore: str) -> Callable[[str], bool]:
        """Return a predicate that is true for paths that a `.dockerignore` of this text excludes."""
        return DockerIgnore(dockerignore).excludes

    def for_pipeline(self, pipeline: str) -> dict[str, str]:
        """Return the id of every image built for a pipeline, with the run that built it."""
        labels = [f"{LABEL_HOME}={self._home}", f"{LABEL_PIPELINE}={pipeline}"]
        with translate_errors(self._api):
            found = self._api.images(filters={"label": labels})
        return {str(image["Id"]): image["Labels"].get(LABEL_RUN, "") for image in found}

    def remove(self, image: str) -> bool:
        """Remove an image and its tags. Returns False if it is in use or has a tag of another program."""
        import docker.errors

        with translate_errors(self._api), ignore_not_found():
            try:
                for tag in self._api.inspect_image(image)["RepoTags"]:
                    if tag.startswith(TAGS):
                        self._api.remove_image(tag)
                # Removing the last tag removes the image.
                if self.id(image) is not None:
                    self._api.remove_image(image)
            except docker.errors.APIError as error:
                if error.status_code == 409:
                    return False
                raise
        return True


@contextmanager
def _refusals_are_failures(last: list[str]) -> Iterator[None]:
    """Translate Docker's refusal of a build before its first step, such as a syntax error in the Dockerfile."""
    import docker.errors

    try:
        yield
    except docker.errors.APIError as error:
        raise build_failed(str(error.explanation), last) from error
