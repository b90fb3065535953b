"""What a rule asks of a request. Fields, limits and case rules are ELB's (`RuleCondition` of its `elbv2` model)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.balancer.model.application.wildcard import Wildcard
from pipeline.base.schema import Model, Shorthand

_MOST_TEXT = 128
# What ELB does not take, and what Python and HAProxy read differently.
_UNSUPPORTED = re.compile(r"\(\?[=!<>|(#&PR0-9+-]|\\[1-9pPgk]|[*+?}]\+|\[:\w+:\]|\{,")


def regular_expression(text: str) -> str:
    """Raises `ValueError` where ELB would not take it."""
    if not re.fullmatch(r"[ -~]*", text):
        raise ValueError("must be printable ASCII; write other bytes as \\x and two digits")
    if _UNSUPPORTED.search(text):
        raise ValueError(
            "may use no look-around, back reference, atomic or possessive group, no class by name and no {,n}"
        )
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    return text


def _pattern(allowed: str, words: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(f"[{allowed}*?]+", text):
            raise ValueError(f"{text!r} may hold {words}, and the wildcards * and ?")
        return text

    return AfterValidator(check)


def _host(text: str) -> str:
    ending = text.rpartition(".")[2]
    if "." not in text or not re.fullmatch(r"[A-Za-z*?]+", ending):
        raise ValueError(f"{text!r} needs a dot, and only letters after the last one: shop.example.com, *.example.com")
    return text


def _method(text: str) -> str:
    if not re.fullmatch(r"[A-Z_-]{1,40}", text):
        raise ValueError(f"{text!r} is no method; write GET, in capitals and without wildcards")
    return text


def _cidr(text: str) -> str:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no address range; write 192.0.2.0/24, 192.0.2.7/32 or 2001:db8::/32") from None
    if str(network) == "255.255.255.255/32":
        raise ValueError("255.255.255.255/32 is nobody's address")
    return str(network)


def _header_name(text: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}", text):
        raise ValueError(f"{text!r} is no header name of at most 40 characters")
    if text.lower() == "host":
        raise ValueError("use host_header for the Host header")
    return text


Regex = Annotated[str, Field(min_length=1, max_length=_MOST_TEXT), AfterValidator(regular_expression)]
Text = Annotated[str, Field(max_length=_MOST_TEXT)]
Host = Annotated[Text, _pattern(r"A-Za-z0-9.\-", "letters, digits, - and ."), AfterValidator(_host)]
Path = Annotated[Text, _pattern(r"A-Za-z0-9_.$/~\"'@:+&\\\-", "letters, digits and _ - . $ / ~ \" ' @ : + &")]
Printable = Annotated[Text, Field(pattern=r"^[ -~]*$")]


class _Values(Model):
    """Values of which one has to match, or expressions."""

    values: tuple[Any, ...] = ()
    regex_values: tuple[Regex, ...] = Field(
        (), description="Regular expressions, of which one has to be found in it; anchor them with ^ and $."
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if bool(self.values) == bool(self.regex_values):
            raise ValueError("needs either values or regex_values")
        return self


class HostHeader(_Values, Shorthand):
    """The host that the client asks for, without its port. Case does not count."""

    shorthand: ClassVar[str] = "values"

    values: tuple[Host, ...] = Field((), description="Host names; `*.example.com` is not `example.com`.")


class PathPattern(_Values, Shorthand):
    """The path of the request, without its query, as the client sent it. Case counts."""

    shorthand: ClassVar[str] = "values"

    values: tuple[Path, ...] = Field((), description="Paths; `*` also stands for a `/`.")


class HttpHeader(_Values):
    """A header of the request. Case does not count. Sent several times, one has to match."""

    name: Annotated[str, AfterValidator(_header_name)] = Field(description="The header's name, without wildcards.")
    values: tuple[Annotated[Printable, Field(min_length=1)], ...] = Field((), description="What it holds.")


class QueryStringValue(Shorthand):
    """A key and a value, or any key's value."""

    shorthand: ClassVar[str] = "value"

    key: Printable | None = Field(None, description="The key. Left out: any key.")
    value: Printable = Field(description="The value, as the client wrote it. Case does not count.")


class QueryString(Shorthand):
    """Parameters of the query, of which one has to match."""

    shorthand: ClassVar[str] = "values"

    values: tuple[QueryStringValue, ...] = Field(min_length=1, description="Keys and values.")


class HttpRequestMethod(Shorthand):
    """The request's method."""

    shorthand: ClassVar[str] = "values"

    values: tuple[Annotated[str, AfterValidator(_method)], ...] = Field(min_length=1, description="Methods.")


class SourceIp(Shorthand):
    """The address that the connection comes from. `X-Forwarded-For` does not count."""

    shorthand: ClassVar[str] = "values"

    values: tuple[Annotated[str, AfterValidator(_cidr)], ...] = Field(min_length=1, description="Address ranges.")


class Condition(Model):
    """One thing that has to hold. Exactly one key."""

    host_header: HostHeader | None = Field(None, description="The host asked for.")
    path_pattern: PathPattern | None = Field(None, description="The path.")
    http_header: HttpHeader | None = Field(None, description="A header's value.")
    http_request_method: HttpRequestMethod | None = Field(None, description="The method.")
    query_string: QueryString | None = Field(None, description="A parameter of the query.")
    source_ip: SourceIp | None = Field(None, description="Where the connection comes from.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self._given()) != 1:
            raise ValueError(f"must be one of {', '.join(type(self).model_fields)}")
        return self

    def _given(self) -> list[str]:
        return [name for name in type(self).model_fields if getattr(self, name) is not None]

    @property
    def kind(self) -> str:
        """Its only key."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def config(self) -> Any:
        """What stands under its only key."""
        return getattr(self, self.kind)

    def patterns(self) -> Iterator[Wildcard]:
        """Every pattern in it that may hold wildcards."""
        if self.kind == "query_string":
            for pair in self.config.values:
                yield from (Wildcard.parse(text) for text in (pair.key, pair.value) if text is not None)
        elif self.kind in ("host_header", "path_pattern", "http_header"):
            yield from map(Wildcard.parse, self.config.values)

    def count(self) -> int:
        """How many values it has."""
        return len(self.config.values) + len(getattr(self.config, "regex_values", ()))
