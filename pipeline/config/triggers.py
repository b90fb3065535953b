"""Triggers: the sources of automatic runs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from pipeline.balancer.model import Model
from pipeline.base.cron import Cron
from pipeline.base.quantity import Duration
from pipeline.base.schema import Shorthand


def _ref_glob(value: str) -> str:
    if not value or value.startswith(("-", "refs/")) or any(c in value for c in " ~^:\\"):
        raise ValueError(f"{value!r} is not a valid branch or tag; write main or release/*, without refs/heads/")
    return value


RefGlob = Annotated[str, AfterValidator(_ref_glob)]
Forge = Literal["github", "gitea", "gitlab"]
_WILD = re.compile(r"[*?\[]")


def is_glob(pattern: str) -> bool:
    """Return True if a pattern has a wildcard. Without one it is the name of a single ref."""
    return _WILD.search(pattern) is not None


class WebhookTrigger(Model):
    """The authentication of a forge's webhook."""

    secret: str = Field(
        min_length=1,
        description="Key of the forge's signature (GitHub, Gitea, Forgejo) or token (GitLab). Write ${secret:NAME}.",
    )


class ScheduledRun(Shorthand):
    """Runs of source.branch by the clock."""

    shorthand: ClassVar[str] = "cron"

    cron: Cron = Field(description="Cron expression of five fields, in local time.")
    rebuild: bool = Field(
        False,
        description="Build and test an unchanged commit again. Otherwise its image is reused, and it is skipped if "
        "nothing under source.paths has changed.",
    )
    pull: bool = Field(
        False, description="Pull base images and other images again, and build, test and deploy if one has changed."
    )
    no_cache: bool = Field(False, description="Build and test again, without the builder's cache.")


class Triggers(Model):
    """Triggers of the runs that `pipeline serve` starts. All of them run commits of `source`."""

    example: ClassVar[str] = "{branches: [main]}"

    branches: tuple[RefGlob, ...] = Field(
        (), description="Globs of branches to run; `*` does not cross folders. Empty: source.branch."
    )
    tags: tuple[RefGlob, ...] = Field((), description="Globs of tags to run. Empty: none.")
    watch: bool = Field(True, description="Scan a local repository as soon as its refs change.")
    poll: Duration | None = Field(
        None,
        ge=timedelta(seconds=1),
        description="Time between scans of the refs. None: one minute for a URL, no polling for a local repository.",
    )
    schedule: tuple[ScheduledRun, ...] = Field(
        (), description="Cron expressions in local time. Each runs source.branch, even without a new commit."
    )
    webhooks: dict[Forge, WebhookTrigger] = Field(
        {}, description="Webhooks at /webhooks/NAME/FORGE by forge. For Forgejo, use gitea."
    )
