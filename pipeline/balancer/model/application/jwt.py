"""Validation of JSON Web Tokens, as ELB's `jwt-validation` action does it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline.base.errors import FieldError
from pipeline.base.schema import Model

_RESERVED = ("iss", "exp", "nbf", "iat")


def _source(text: str) -> str:
    if "://" in text and not text.startswith("https://"):
        raise ValueError("must be an https:// address or a file: keys that come in the clear are anybody's")
    return text


def _claim(text: str) -> str:
    if text in _RESERVED:
        raise ValueError(f"{text} is checked anyway")
    return text


def _word(text: str) -> str:
    if text == "}":
        raise ValueError("must be more than a }, which HAProxy takes for an end")
    return text


class Claim(Model):
    """One more claim that the token has to hold."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$"), AfterValidator(_claim)] = Field(
        description="The claim's name."
    )
    format: Literal["single-string", "string-array", "space-separated-values"] = Field(
        "single-string", description="How the claim holds its values."
    )
    values: tuple[Annotated[str, Field(pattern=r"^[ -~]{1,256}$")], ...] = Field(
        min_length=1, max_length=10, description="Values, of which the claim has to hold one."
    )

    @field_validator("values")
    @classmethod
    def _words(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_word, values))

    @model_validator(mode="after")
    def _separable(self) -> Self:
        if self.format == "space-separated-values" and " " in "".join(self.values):
            raise FieldError("values", "must hold no space where spaces separate them")
        return self


class JwtValidation(Model):
    """What a token in `Authorization: Bearer …` must be: signed by RS256, of this issuer, not expired."""

    jwks: Annotated[str, AfterValidator(_source)] = Field(
        min_length=1,
        max_length=256,
        description="The issuer's public keys (JWKS): an https:// address, or a file relative to this one.",
    )
    issuer: Annotated[str, AfterValidator(_word)] = Field(
        pattern=r"^[!-~]{1,256}$", description="What the claim `iss` must be."
    )
    additional_claims: tuple[Claim, ...] = Field((), max_length=10, description="Other claims that must hold.")
