"""Validation of JSON Web Tokens, as ELB's `jwt-validation` action does it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline.base.errors import FieldError
from pipeline.base.schema import Model

_RESERVED = ("iss", "exp", "nbf", "iat")


def _source(text: str) -> str:
    if "://" in text and not text.startswith("https://"):
        raise ValueError("must be an https:// URL or a file path; keys fetched over plain HTTP cannot be trusted")
    return text


def _claim(text: str) -> str:
    if text in _RESERVED:
        raise ValueError(f"must not be {text}, which is always checked")
    return text


def _word(text: str) -> str:
    if text == "}":
        raise ValueError("must not be a single }")
    return text


class Claim(Model):
    """A claim that the token must hold, besides the standard ones."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$"), AfterValidator(_claim)] = Field(
        description="The claim's name."
    )
    format: Literal["single-string", "string-array", "space-separated-values"] = Field(
        "single-string", description="Format of the claim's values."
    )
    values: tuple[Annotated[str, Field(pattern=r"^[ -~]{1,256}$")], ...] = Field(
        min_length=1, max_length=10, description="Values, one of which the claim must hold."
    )

    @field_validator("values")
    @classmethod
    def _words(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_word, values))

    @model_validator(mode="after")
    def _separable(self) -> Self:
        if self.format == "space-separated-values" and " " in "".join(self.values):
            raise FieldError("values", "must hold no spaces with format: space-separated-values")
        return self


class JwtValidation(Model):
    """Validation of the token in `Authorization: Bearer …`: signed with RS256, from this issuer, not expired."""

    jwks: Annotated[str, AfterValidator(_source)] = Field(
        min_length=1,
        max_length=256,
        description="The issuer's public keys (JWKS): an https:// URL, or a file relative to this one.",
    )
    issuer: Annotated[str, AfterValidator(_word)] = Field(
        pattern=r"^[!-~]{1,256}$", description="Required value of the claim `iss`."
    )
    additional_claims: tuple[Claim, ...] = Field(
        (), max_length=10, description="Further claims that the token must hold."
    )
