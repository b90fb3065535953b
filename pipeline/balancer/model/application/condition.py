"""Conditions of rules. Fields, limits and case rules are ELB's (`RuleCondition` of its `elbv2` model)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.balancer.model.application.wildcard import Wildcard
from pipeline.base.schema import Model, Shorthand

_MAX_TEXT = 128
# Syntax that ELB does not accept, or that Python and HAProxy read differently.
_UNSUPPORTED = re.compile(r"\(\?[=!<>|(#&PR0-9+-]|\\[1-9pPgk]|[*+?}]\+|\[:\w+:\]|\{,")


def regular_expression(text: str) -> str:
    """Return the expression. Raises `ValueError` if ELB would not accept it."""
    if not re.fullmatch(r"[ -~]*", text):
        raise ValueError("must be printable ASCII; write other bytes as \\x and two digits")
    if _UNSUPPORTED.search(text):
        raise ValueError(
            "must not use look-around, back references, atomic or possessive groups, named classes or {,n}"
        )
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a valid regular expression: {error}") from None
    return text


def _pattern(allowed: str, names: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(f"[{allowed}*?]+", text):
            raise ValueError(f"must hold only {names}, and the wildcards * and ?, got {text!r}")
        return text

    return AfterValidator(check)


def _host(text: str) -> str:
    ending = text.rpartition(".")[2]
    if "." not in text or not re.fullmatch(r"[A-Za-z*?]+", ending):
        raise ValueError(f"must have a dot, and only letters after the last one, as in *.example.com, got {text!r}")
    return text


def _method(text: str) -> str:
    if not re.fullmatch(r"[A-Z_-]{1,40}", text):
        raise ValueError(f"must be a method in capitals, such as GET, got {text!r}")
    return text


def _cidr(text: str) -> str:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"must be an address range such as 192.0.2.0/24 or 2001:db8::/32, got {text!r}") from None
    if str(network) == "255.255.255.255/32":
        raise ValueError("must not be 255.255.255.255/32, which no client can have")
    return str(network)


def _header_name(text: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}", text):
        raise ValueError(f"must be a header name of at most 40 characters, got {text!r}")
    if text.lower() == "host":
        raise ValueError("use host_header for the Host header")
    return text


Regex = Annotated[str, Field(min_length=1, max_length=_MAX_TEXT), AfterValidator(regular_expression)]
Text = Annotated[str, Field(max_length=_MAX_TEXT)]
Host = Annotated[Text, _pattern(r"A-Za-z0-9.\-", "letters, digits, - and ."), AfterValidator(_host)]
Path = Annotated[Text, _pattern(r"A-Za-z0-9_.$/~\"'@:+&\\\-", "letters, digits and _ - . $ / ~ \" ' @ : + &")]
Printable = Annotated[Text, Field(pattern=r"^[ -~]*$")]


class _Values(Model):
    """Values or regular expressions, one of which must match."""

    values: tuple[Any, ...] = ()
    regex_values: tuple[Regex, ...] = Field(
        (), description="Regular expressions, one of which must be found in it. Anchor them with ^ and $."
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if bool(self.values) == bool(self.regex_values):
            raise ValueError("must have either values or regex_values")
        return self


class HostHeader(_Values, Shorthand):
    """The requested host without its port. Case is ignored."""

    shorthand: ClassVar[str] = "values"

    values: tuple[Host, ...] = Field((), description="Host names. `*.example.com` does not match `example.com`.")


class PathPattern(_Values, Shorthand):
    """The path of the request without its query, as the client sent it. Case matters."""

    shorthand: ClassVar[str] = "values"

    values: tuple[Path, ...] = Field((), description="Paths. `*` also matches `/`.")


class HttpHeader(_Values):
    """A header of the request. Case is ignored. If it is sent several times, one must match."""

    name: Annotated[str, AfterValidator(_header_name)] = Field(description="The header's name, without wildcards.")
    values: tuple[Annotated[Printable, Field(min_length=1)], ...] = Field((), description="The header's values.")


class QueryStringValue(Shorthand):
    """A key and a value of the query, or the value of any key."""

    shorthand: ClassVar[str] = "value"

    key: Printable | None = Field(None, description="The key. If left out, any key.")
    value: Printable = Field(description="The value, as the client sent it. Case is ignored.")


class QueryString(Shorthand):
    """Parameters of the query, one of which must match."""

    shorthand: ClassVar[str] = "values"

    values: tuple[QueryStringValue, ...] = Field(min_length=1, description="Keys and values.")


class HttpRequestMethod(Shorthand):
    """The request's method."""

    shorthand: ClassVar[str] = "values"

    values: tuple[Annotated[str, AfterValidator(_method)], ...] = Field(min_length=1, description="Methods.")


class SourceIp(Shorthand):
    """The address that the connection comes from. `X-Forwarded-For` is ignored."""

    shorthand: ClassVar[str] = "values"

    values: tuple[Annotated[str, AfterValidator(_cidr)], ...] = Field(min_length=1, description="Address ranges.")


class Condition(Model):
    """A condition that must hold. Exactly one key."""

    host_header: HostHeader | None = Field(None, description="The requested host.")
    path_pattern: PathPattern | None = Field(None, description="The path.")
    http_header: HttpHeader | None = Field(None, description="A header's value.")
    http_request_method: HttpRequestMethod | None = Field(None, description="The method.")
    query_string: QueryString | None = Field(None, description="A parameter of the query.")
    source_ip: SourceIp | None = Field(None, description="The address that the connection comes from.")

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
        """The value of its only key."""
        return getattr(self, self.kind)

    def patterns(self) -> Iterator[Wildcard]:
        """Yield every pattern in it that may hold wildcards."""
        if self.kind == "query_string":
            for pair in self.config.values:
                yield from (Wildcard.parse(text) for text in (pair.key, pair.value) if text is not None)
        elif self.kind in ("host_header", "path_pattern", "http_header"):
            yield from map(Wildcard.parse, self.config.values)

    def count(self) -> int:
        """Return the number of its values."""
        return len(self.config.values) + len(getattr(self.config, "regex_values", ()))
