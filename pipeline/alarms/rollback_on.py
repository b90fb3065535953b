"""The section `rollback_on`: the alarms of a deployment."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.alarms.condition import AnyCondition, RatioCondition, ResponseTimeCondition
from pipeline.base.errors import FieldError, refuse
from pipeline.base.quantity import Duration, Percentage, PercentageRange, Whole
from pipeline.base.schema import Shorthand

_Confidence = Annotated[Percentage, PercentageRange(50, 99.99)]


class RollbackOn(Shorthand):
    """Conditions of which each one rolls back the new release. May be written as the list of `conditions` alone."""

    shorthand: ClassVar[str] = "conditions"

    conditions: tuple[AnyCondition, ...] = Field(min_length=1, max_length=16, description="The conditions.")
    confidence: _Confidence = Field(
        0.99,
        description="Probability that a release that is not worse passes all conditions on ratios and response times "
        "during the whole deployment, however often they are evaluated.",
    )
    min_requests: Whole = Field(
        20,
        ge=1,
        description="Requests that each compared release must have before a condition on ratios or response times can "
        "decide.",
    )
    insufficient_data: Literal["promote", "rollback"] = Field(
        "promote", description="What to do if a condition has too few requests at the end of the bake time."
    )

    warm_up: Duration = Field(
        timedelta(seconds=10),
        ge=timedelta(0),
        le=timedelta(hours=1),
        description="Time from the first traffic of the new release in which response times do not count, for neither "
        "release, because a program is slower at first. Errors count.",
    )

    @model_validator(mode="after")
    def _check_distinct(self) -> Self:
        refuse(
            FieldError(("conditions", index), f"is the same as condition {first + 1}; remove one of them")
            for index, condition in enumerate(self.conditions)
            if (first := self.conditions.index(condition)) < index
        )
        return self

    @property
    def threshold(self) -> float:
        """The e-value at which a condition is an alarm. The probability of a false one is divided among them."""
        statistical = sum(isinstance(c, RatioCondition | ResponseTimeCondition) for c in self.conditions)
        return max(1, statistical) / (1 - self.confidence)
