"""The conditions and transforms of rules as templates write them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.stacks.provider import Properties


class Values(Properties):
    """Values of which one must match."""

    values: list[str] = Field(default_factory=list)
    regex_values: list[str] = Field(default_factory=list)


class PlainValues(Properties):
    """Values of which one must be equal."""

    values: list[str] = Field(default_factory=list)


class HeaderValues(Values):
    """Values of a header."""

    http_header_name: str


class QueryPair(Properties):
    """A part of the query string."""

    key: str | None = None
    value: str


class QueryValues(Properties):
    """Parts of the query string."""

    values: list[QueryPair]


class Condition(Properties):
    """A condition."""

    field: str
    values: list[str] = Field(default_factory=list)
    regex_values: list[str] = Field(default_factory=list)
    host_header_config: Values | None = None
    path_pattern_config: Values | None = None
    http_header_config: HeaderValues | None = None
    http_request_method_config: PlainValues | None = None
    query_string_config: QueryValues | None = None
    source_ip_config: PlainValues | None = None


class Rewrite(Properties):
    """A rewrite by a regular expression."""

    regex: str
    replace: str


class Rewrites(Properties):
    """Rewrites of one part of a request."""

    rewrites: list[Rewrite]


class Transform(Properties):
    """A transform."""

    type: Literal["host-header-rewrite", "url-rewrite"]
    host_header_rewrite_config: Rewrites | None = None
    url_rewrite_config: Rewrites | None = None
