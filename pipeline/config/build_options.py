"""The types of the options of a build, which are those of `docker buildx build`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.config.secrets import REFERENCE


def _secret_text(value: str) -> str:
    if not REFERENCE.search(value):
        raise ValueError("must contain ${secret:NAME}; for a value that is no secret use build.args")
    return value


StageName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
SecretId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
SecretText = Annotated[str, AfterValidator(_secret_text)]
SshAgent = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(=.+)?$")]
CacheOption = Annotated[str, Field(min_length=1)]
Platform = Annotated[str, Field(pattern=r"^[a-z0-9_]+/[a-z0-9_]+(/[a-z0-9_.]+)?$")]
