"""Rules: the requests to which another action than a listener's default applies."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.balancer.model.application.action import Action
from pipeline.balancer.model.application.condition import Condition, regular_expression
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Whole
from pipeline.base.schema import Model

_MAX_PER_RULE = 5
_ONCE = ("host_header", "path_pattern", "http_request_method", "source_ip")


def _replacement(text: str) -> str:
    if not re.fullmatch(r"[!-~]*", text):
        raise ValueError("must be ASCII without spaces")
    return text


class Rewrite(Model):
    """Replaces the first match of an expression. Without a match, nothing changes."""

    regex: Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(regular_expression)] = Field(
        description="The regular expression to find."
    )
    replace: Annotated[str, Field(max_length=1024), AfterValidator(_replacement)] = Field(
        description="Replacement of its first match. `$1` to `$9` stand for its groups."
    )

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        groups = re.compile(self.regex).groups
        for number in map(int, re.findall(r"\$(\d)", self.replace)):
            if not 1 <= number <= groups:
                raise FieldError("replace", f"must name existing groups, got ${number} for {groups} groups")
        return self


class Transforms(Model):
    """Rewrites of a request before a target gets it. Conditions see it as the client sent it."""

    host_header_rewrite: Rewrite | None = Field(None, description="Rewrites the Host header.")
    url_rewrite: Rewrite | None = Field(None, description="Rewrites the path and the query.")


class Rule(Model):
    """Conditions, and the action for a request that meets all of them."""

    priority: Whole = Field(
        ge=1,
        le=50000,
        description="Of the rules that match, the one with the lowest number applies. Unique in its listener.",
    )
    conditions: tuple[Condition, ...] = Field(min_length=1, description="Conditions, all of which must hold.")
    transforms: Transforms = Field(Transforms(), description="Rewrites of the request on the way to the target.")
    action: Action = Field(description="Action for the request.")

    @model_validator(mode="after")
    def _within_limits(self) -> Self:
        kinds = [condition.kind for condition in self.conditions]
        for kind in _ONCE:
            if kinds.count(kind) > 1:
                raise FieldError("conditions", f"must hold {kind} once; list its values in one condition")
        if (values := sum(condition.count() for condition in self.conditions)) > _MAX_PER_RULE:
            raise FieldError("conditions", f"must hold at most {_MAX_PER_RULE} values, got {values}; split the rule")
        wilds = sum(pattern.wilds for condition in self.conditions for pattern in condition.patterns())
        if wilds > _MAX_PER_RULE:
            raise FieldError("conditions", f"must hold at most {_MAX_PER_RULE} wildcards, got {wilds}; split the rule")
        return self
