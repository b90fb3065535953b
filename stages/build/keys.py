"""The keys under which an image is known: one for its build, and one for its tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.config.models import Build
from stages.build.dockerfile import Inputs

Identify = Callable[[str, str, str], str | None]
"""Returns the id of an image. Its arguments are the name, the image in words, and a hint for an error."""


@dataclass(frozen=True)
class Keys:
    """The keys of an image.

    A key is None if an input is unknown or may change without notice. The image is not reused then.
    """

    built: str | None
    tested: str | None


def keys_of(
    config: Build, tree: str, files: str, inputs: Inputs, secrets: Mapping[str, str], identify: Identify
) -> Keys:
    """Return the keys of the image of a tree with these secret values.

    `files` is the digest of the files that links of the tree may lead to. The keys contain every input. Secret values
    are only in the digest of all inputs.
    """
    bases = {name: identify(name, *base_in_words(name)) for name in inputs.images}
    services = {
        name: identify(service.image, *service_in_words(name, service.image))
        for name, service in (config.test.services if config.test else {}).items()
    }
    if inputs.remote or None in bases.values():
        return Keys(None, None)
    parts = [
        tree,
        files,
        config.dockerfile,
        sorted(config.args.items()),
        sorted(bases.items()),
        config.target,
        config.platforms,
        sorted(secrets.items()),
        # Left out unless set, so that the images of earlier versions keep their key.
        *([sorted(config.labels.items())] if config.labels else []),
    ]
    built = f"built:{_digest(json.dumps(parts))}"
    if None in services.values():
        return Keys(built, None)
    tests = config.test.model_dump_json(exclude={"retry"}) if config.test else ""
    return Keys(built, f"tested:{_digest(built + tests + json.dumps(sorted(services.items())))}")


def base_in_words(image: str) -> tuple[str, str]:
    """Return a base image in words, and a hint for an error."""
    return f"base image {image}", "name another in the Dockerfile, or in build.args where it is an argument"


def service_in_words(service: str, image: str) -> tuple[str, str]:
    """Return the image of a test service in words, and a hint for an error."""
    return f"service {service}'s image {image}", "see its image in build.test.services"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
