"""The types of the options of a build, which are those of `docker buildx build`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.config.container_values import is_image_name
from pipeline.config.run_variables import REFERENCE as REFERENCE_OF_RUN
from pipeline.config.secrets import REFERENCE


def _push_name(value: str) -> str:
    """Check a name whose variables have no values yet. Each stands for a letter here."""
    sample = REFERENCE_OF_RUN.sub("a", value)
    if "@" in sample or not is_image_name(sample):
        raise ValueError(
            f"{value!r} is not a valid name of an image; write registry.example.com/shop:${{short_commit}}"
        )
    return value


def _secret_text(value: str) -> str:
    if not REFERENCE.search(value):
        raise ValueError("must contain ${secret:NAME}; for a value that is no secret use build.args")
    return value


PushName = Annotated[str, AfterValidator(_push_name)]
StageName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
SecretId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
SecretText = Annotated[str, AfterValidator(_secret_text)]
SshAgent = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(=.+)?$")]
CacheOption = Annotated[str, Field(min_length=1)]
Platform = Annotated[str, Field(pattern=r"^[a-z0-9_]+/[a-z0-9_]+(/[a-z0-9_.]+)?$")]
