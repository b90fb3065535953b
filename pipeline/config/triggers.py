"""What makes runs by itself, besides the commands that ask for one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.balancer.model import Model
from pipeline.base.quantity import Duration


def _cron(value: str) -> str:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(value, _ANY_TIME)
    except CronSimError as error:
        raise ValueError(f"{value!r} is no cron expression ({error}); write five fields, such as 0 4 * * *") from None
    return value


def _ref_glob(value: str) -> str:
    if not value or value.startswith(("-", "refs/")) or any(c in value for c in " ~^:\\"):
        raise ValueError(f"{value!r} names no branch or tag; write main or release/*, without refs/heads/")
    return value


_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
Cron = Annotated[str, AfterValidator(_cron)]
RefGlob = Annotated[str, AfterValidator(_ref_glob)]
Forge = Literal["github", "gitea", "gitlab"]
_WILD = re.compile(r"[*?\[]")


def is_glob(pattern: str) -> bool:
    """Whether a pattern may mean many refs: one without a wildcard is a name."""
    return _WILD.search(pattern) is not None


class WebhookTrigger(Model):
    """Who may say that there is something new."""

    secret: str = Field(
        min_length=1,
        description="What the forge signs with (GitHub, Gitea, Forgejo) or sends along (GitLab). Write ${secret:NAME}.",
    )


class Triggers(Model):
    """What `pipeline serve` makes runs of. Whatever says that something is new, the commits come from `source`."""

    branches: tuple[RefGlob, ...] = Field(
        (), description="Globs of branches whose commits are run; `*` stays within a folder. Empty: source.branch."
    )
    tags: tuple[RefGlob, ...] = Field((), description="Globs of tags whose commits are run. Empty: none.")
    watch: bool = Field(True, description="Look at a repository on this machine as soon as its refs change.")
    poll: Duration | None = Field(
        None,
        ge=timedelta(seconds=1),
        description="How often the repository is asked. None: every minute behind a URL, not at all on this machine.",
    )
    schedule: tuple[Cron, ...] = Field(
        (), description="Cron expressions in local time, at which source.branch is run though nothing is new."
    )
    webhooks: dict[Forge, WebhookTrigger] = Field(
        {}, description="Forges that may send webhooks to /webhooks/NAME/FORGE, by kind. Forgejo is gitea."
    )
