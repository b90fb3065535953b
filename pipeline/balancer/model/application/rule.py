"""Rules: which requests are treated otherwise than a listener's default action says."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.balancer.model.application.action import Action
from pipeline.balancer.model.application.condition import Condition, regular_expression
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Whole
from pipeline.base.schema import Model

_MOST = 5
_ONCE = ("host_header", "path_pattern", "http_request_method", "source_ip")


def _replacement(text: str) -> str:
    if not re.fullmatch(r"[!-~]*", text):
        raise ValueError("must hold no space and only ASCII")
    return text


class Rewrite(Model):
    """Where the expression is found, what it matches is replaced; where not, all stays."""

    regex: Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(regular_expression)] = Field(
        description="The regular expression that is looked for."
    )
    replace: Annotated[str, Field(max_length=1024), AfterValidator(_replacement)] = Field(
        description="What its first match becomes; `$1` to `$9` stand for its groups."
    )

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        groups = re.compile(self.regex).groups
        for number in map(int, re.findall(r"\$(\d)", self.replace)):
            if not 1 <= number <= groups:
                raise FieldError("replace", f"names ${number}, but the regex has {groups} groups")
        return self


class Transforms(Model):
    """What of a request is rewritten before a target gets it. Conditions see it as the client sent it."""

    host_header_rewrite: Rewrite | None = Field(None, description="Rewrites the Host header.")
    url_rewrite: Rewrite | None = Field(None, description="Rewrites the path and the query.")


class Rule(Model):
    """Conditions, and what is done with a request for which all of them hold."""

    priority: Whole = Field(
        ge=1, le=50000, description="The rule with the lowest number that matches is taken; unique in its listener."
    )
    conditions: tuple[Condition, ...] = Field(min_length=1, description="What must hold: all of them.")
    transforms: Transforms = Field(Transforms(), description="What is rewritten on the way to the target.")
    action: Action = Field(description="What happens then.")

    @model_validator(mode="after")
    def _within_limits(self) -> Self:
        kinds = [condition.kind for condition in self.conditions]
        for kind in _ONCE:
            if kinds.count(kind) > 1:
                raise FieldError("conditions", f"holds {kind} twice; list its values in one")
        if (values := sum(condition.count() for condition in self.conditions)) > _MOST:
            raise FieldError("conditions", f"holds {values} values; {_MOST} are the most, write several rules")
        wilds = sum(pattern.wilds for condition in self.conditions for pattern in condition.patterns())
        if wilds > _MOST:
            raise FieldError("conditions", f"holds {wilds} wildcards; {_MOST} are the most, write several rules")
        return self
