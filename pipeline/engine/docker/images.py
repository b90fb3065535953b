"""Images: built, looked for, tagged, removed."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from pipeline.base.errors import CacheVanished, EngineFault, StageFailed
from pipeline.engine.container import BUILD_CPU_SHARES
from pipeline.engine.docker.connection import EngineConnection
from pipeline.engine.docker.faults import build_failed, ignore_not_found, translate_errors
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_RUN

_TAIL = 20
# An endless line is told in pieces of about so many characters.
_PIECE = 64 * 1024
# What the tags of our images begin with.
TAGS = "penstock/"


class Images:
    """The images that are here, and those that carry the label of `home`."""

    def __init__(self, api: Any, home: str) -> None:
        self._api = api
        self._home = home

    def id(self, reference: str) -> str | None:
        """The id of an image that is here; None when it is not."""
        with translate_errors(), ignore_not_found():
            return str(self._api.inspect_image(reference)["Id"])
        return None

    def size(self, image: str) -> int:
        """How many bytes an image takes."""
        with translate_errors():
            return int(self._api.inspect_image(image)["Size"])

    def tag(self, image: str, tag: str) -> None:
        """Give an image one more name."""
        repository, _, version = tag.rpartition(":")
        with translate_errors():
            self._api.tag(image, repository, version)

    def healthcheck(self, image: str) -> tuple[str, ...] | None:
        """The command of an image's HEALTHCHECK, which ends with 0 in a healthy container; None where it has none."""
        with translate_errors():
            check = self._api.inspect_image(image)["Config"].get("Healthcheck") or {}
        kind, *command = check.get("Test") or ("NONE",)
        return {"CMD": tuple(command), "CMD-SHELL": ("/bin/sh", "-c", *command)}.get(kind)

    def pull(self, reference: str, connection: EngineConnection | None = None) -> None:
        """Fetch an image from its registry. Another thread may end that by way of `connection`."""
        from docker.utils import parse_repository_tag

        api = connection.api if connection else self._api
        name, tag = parse_repository_tag(reference)
        with translate_errors():
            for message in api.pull(name, tag=tag or "latest", stream=True, decode=True):
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
        connection: EngineConnection | None = None,
    ) -> str:
        """Build an image from a tar of its context, and return its id; `tell` hears what the builder prints.

        Raises `StageFailed` with the builder's last lines when a step fails, `CacheVanished` when the next try may not.
        Another thread may end it by way of `connection`.
        """
        api = connection.api if connection else self._api
        built = self._build(
            api, tell, fileobj=context, custom_context=True, dockerfile=dockerfile, buildargs=dict(args)
        )
        # The builder takes a step for each label it is told of, and each as long as for an instruction of its own.
        # In one LABEL, which adds nothing to the commit's Dockerfile, it is one.
        words = (f"{key}={shlex.quote(value)}" for key, value in {**labels, LABEL_HOME: self._home}.items())
        labelling = io.BytesIO(f"FROM {built}\nLABEL {' '.join(words)}\n".encode())
        try:
            return self._build(api, lambda _: None, fileobj=labelling, tag=tag)
        except StageFailed as error:
            # What is not here (any more) the builder asks a registry for.
            if self.id(built) is None:
                raise CacheVanished from error
            raise

    def _build(self, api: Any, tell: Callable[[str], None], **request: Any) -> str:
        image, last, rest = "", list[str](), ""

        def hear(lines: list[str]) -> None:
            for line in lines:
                if line.strip():
                    last[:] = [*last, line][-_TAIL:]
                    tell(line)

        with translate_errors(), _refusals_are_failures(last):
            for message in api.build(
                **request, container_limits={"cpushares": BUILD_CPU_SHARES}, rm=True, forcerm=True, decode=True
            ):
                # A message is what was printed at once, not a line: one word may be in two, and a secret is a word.
                *lines, rest = (rest + str(message.get("stream", ""))).replace("\r\n", "\n").split("\n")
                hear(lines)
                if "error" in message or len(rest) > _PIECE:
                    hear([rest])
                    rest = ""
                if "error" in message:
                    raise build_failed(message["error"], last)
                image = message.get("aux", {}).get("ID", image)
            hear([rest])
        if not image:
            raise EngineFault("Docker: the builder went away before it was done")
        return image

    def for_pipeline(self, pipeline: str) -> dict[str, str]:
        """The id of every image built for a pipeline, with the run that built it."""
        labels = [f"{LABEL_HOME}={self._home}", f"{LABEL_PIPELINE}={pipeline}"]
        with translate_errors():
            found = self._api.images(filters={"label": labels})
        return {str(image["Id"]): image["Labels"].get(LABEL_RUN, "") for image in found}

    def remove(self, image: str) -> bool:
        """Remove an image with its tags of ours; False when something still uses it, or has a name for it."""
        import docker.errors

        with translate_errors(), ignore_not_found():
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
