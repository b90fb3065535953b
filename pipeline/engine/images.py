"""Images: built, looked for, tagged, removed."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from pipeline.engine.container import YIELDING
from pipeline.engine.faults import build_failed, gone_is_fine, readable_errors
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE
from pipeline.errors import CacheVanished, EngineFault, StageFailed

_TAIL = 20
# What the tags of our images begin with.
TAGS = "penstock/"


class Images:
    """The images that are here, and those that carry the label of `home`."""

    def __init__(self, api: Any, home: str) -> None:
        self._api = api
        self._home = home

    def id(self, reference: str) -> str | None:
        """The id of an image that is here; None when it is not."""
        with readable_errors(), gone_is_fine():
            return str(self._api.inspect_image(reference)["Id"])
        return None

    def size(self, image: str) -> int:
        """How many bytes an image takes."""
        with readable_errors():
            return int(self._api.inspect_image(image)["Size"])

    def tag(self, image: str, tag: str) -> None:
        """Give an image one more name."""
        repository, _, version = tag.rpartition(":")
        with readable_errors():
            self._api.tag(image, repository, version)

    def pull(self, reference: str) -> None:
        """Fetch an image from its registry."""
        name, _, tag = reference.rpartition(":") if ":" in reference.rsplit("/", 1)[-1] else (reference, "", "latest")
        with readable_errors():
            for message in self._api.pull(name, tag=tag, stream=True, decode=True):
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
        tell: Callable[[str], None],
    ) -> str:
        """Build an image from a tar of its context, and return its id; `tell` hears what the builder prints.

        Raises `StageFailed` with the builder's last lines when a step fails, `CacheVanished` when the next try may not.
        """
        built = self._build(tell, fileobj=context, custom_context=True, dockerfile=dockerfile, buildargs=dict(args))
        # The builder takes a step for each label it is told of, and each as long as for an instruction of its own.
        # In one LABEL, which adds nothing to the commit's Dockerfile, it is one.
        words = (f"{key}={shlex.quote(value)}" for key, value in {**labels, LABEL_HOME: self._home}.items())
        labelling = io.BytesIO(f"FROM {built}\nLABEL {' '.join(words)}\n".encode())
        try:
            return self._build(lambda _: None, fileobj=labelling, tag=tag)
        except StageFailed as error:
            # What is not here (any more) the builder asks a registry for.
            if self.id(built) is None:
                raise CacheVanished from error
            raise

    def _build(self, tell: Callable[[str], None], **request: Any) -> str:
        image, last = "", list[str]()
        with readable_errors(), _refusals_are_failures(last):
            for message in self._api.build(
                **request, container_limits={"cpushares": YIELDING}, rm=True, forcerm=True, decode=True
            ):
                if "error" in message:
                    raise build_failed(message["error"], last)
                image = message.get("aux", {}).get("ID", image)
                for line in str(message.get("stream", "")).splitlines():
                    if line.strip():
                        last[:] = [*last, line][-_TAIL:]
                        tell(line)
        return image

    def of(self, pipeline: str) -> list[str]:
        """The ids of every image built for a pipeline."""
        labels = [f"{LABEL_HOME}={self._home}", f"{LABEL_PIPELINE}={pipeline}"]
        with readable_errors():
            return [str(image["Id"]) for image in self._api.images(filters={"label": labels})]

    def remove(self, image: str) -> bool:
        """Remove an image with its tags of ours; False when something still uses it, or has a name for it."""
        import docker.errors

        with readable_errors(), gone_is_fine():
            try:
                for tag in self._api.inspect_image(image)["RepoTags"]:
                    if tag.startswith(TAGS):
                        self._api.remove_image(tag)
                # The last of its names takes the image along.
                if self.id(image) is not None:
                    self._api.remove_image(image)
            except docker.errors.APIError as error:
                if error.status_code == 409:
                    return False
                raise
        return True


@contextmanager
def _refusals_are_failures(last: list[str]) -> Iterator[None]:
    """What the builder finds wrong before its first step is as much the Dockerfile's fault as a step that fails."""
    import docker.errors

    try:
        yield
    except docker.errors.APIError as error:
        raise build_failed(str(error.explanation), last) from error
