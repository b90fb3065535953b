"""The access log, independent of the proxy: records for metrics, entries for printing, and their reader."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from pipeline.balancer.log_filter import LogFilter

ActionName = Literal["forward", "redirect", "fixed-response"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessEntry:
    """The fields of an Application Load Balancer's access log for one request. Durations are seconds, -1 if unknown."""

    type: str
    time: datetime
    elb: str
    client: str
    target: str | None
    request_processing_time: float
    target_processing_time: float
    response_processing_time: float
    elb_status_code: int | None
    target_status_code: int | None
    received_bytes: int
    sent_bytes: int
    request: str
    user_agent: str | None
    ssl_cipher: str | None
    ssl_protocol: str | None
    target_group_arn: str | None
    trace_id: str | None
    domain_name: str | None
    matched_rule_priority: int
    request_creation_time: datetime
    actions_executed: ActionName | None
    redirect_url: str | None
    error_reason: str | None
    classification: str | None
    classification_reason: str | None
    chosen_cert_arn: str | None = None
    conn_trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRecord:
    """A finished request, with the fields that metrics and rates need.

    `load_balancer` and `target_group` are names from the functions below. `listener` is the port. `rule` is the
    priority of the rule that applied, 0 for the default action and -1 for none. `target` is an address and a port.
    `action` is None if no rule was evaluated. `target_time` is the seconds from sending the request to the target until
    the response headers arrived. `connect_errors` counts failed connections to targets. `sticky_miss` is True if the
    group is sticky and the client sent no valid cookie. `error` is an ELB-style code. A field that does not apply is
    None.
    """

    ended: datetime
    load_balancer: str
    listener: int
    rule: int
    target_group: str | None
    target: str | None
    action: ActionName | None
    elb_status: int | None
    target_status: int | None
    received_bytes: int
    sent_bytes: int
    target_time: float | None
    connect_errors: int
    sticky_miss: bool
    error: str | None
    # A function, because most records are counted and never printed.
    entry: Callable[[], AccessEntry] = field(repr=False, compare=False)


class ForwardedRequest(NamedTuple):
    """A finished request that a rule forwarded to a target group, with what alarms need to know of it.

    `arrived` and `ended` are milliseconds since 1970. `listener` is the port. `target` is the target's ID, None if no
    target could be chosen. `status` is what the client got, and 460 if it left before the response. `is_from_target` is
    True if a target sent it. `response_time` is the milliseconds from sending the request to its target until the
    response headers arrived, or until the client left. None if neither happened. `error` is an ELB-style code.
    """

    arrived: int
    ended: int
    listener: int
    group: str
    target: str | None
    status: int | None
    is_from_target: bool
    response_time: int | None
    connect_errors: int
    is_grpc: bool
    error: str | None


class LoggedRequest(NamedTuple):
    """A GET or HEAD request that a target has answered without 5XX, as the access log has it.

    `path` has the query. `host` and `user_agent` are headers. The second is None if the client sent none that can be
    sent again. `client` is its address.
    `listener` is the port. `is_secure` is True if it came over TLS.
    """

    method: str
    path: str
    host: str
    user_agent: str | None
    client: str
    listener: int
    is_secure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsEntry:
    """The fields of a Network Load Balancer's access log for one TLS connection. Durations are milliseconds.

    `listener` is its port. `destination` is the address that the client connected to.
    """

    type: str = "tls"
    version: str = "2.0"
    time: datetime
    elb: str
    listener: str
    client: str
    destination: str
    connection_time: int
    tls_handshake_time: int | None
    received_bytes: int
    sent_bytes: int
    incoming_tls_alert: int | None
    chosen_cert_arn: str | None = None
    chosen_cert_serial: str | None
    tls_cipher: str | None
    tls_protocol_version: str | None
    tls_named_group: str | None = None
    domain_name: str | None
    alpn_fe_protocol: str | None
    alpn_be_protocol: str | None = None
    alpn_client_preference_list: str | None = None
    tls_connection_creation_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsRecord:
    """A finished connection of a TLS listener of a network load balancer."""

    ended: datetime
    entry: Callable[[], TlsEntry] = field(repr=False, compare=False)


LogRecord = AccessRecord | TlsRecord


class LogPage(NamedTuple):
    """Records, newest first, each with its position. `next` continues before the last record that was read.

    It is None if the oldest record that is kept was read. With fewer records than the limit and a `next`, the limit of
    bytes was reached. `since` is when the last record that was read ended, None if there was none.
    """

    records: Sequence[tuple[str, LogRecord]]
    next: str | None
    since: datetime | None


class AccessLog(Protocol):
    """Reads the records of a data plane. Damaged lines are counted and skipped. For one thread at a time."""

    @property
    def path(self) -> Path:
        """The file that the data plane writes. It may not exist yet."""

    @property
    def unreadable(self) -> int:
        """The number of damaged lines that this object has skipped so far."""

    def newest_first(self) -> Iterator[LogRecord]:
        """Yield every record that is kept, the newest first."""

    def page(self, wanted: LogFilter, limit: int, before: str | None = None, max_bytes: int | None = None) -> LogPage:
        """Return the newest records that pass a filter, at most `limit`, of those before a position.

        Reads at most about `max_bytes` of the log. Positions stay valid while their records are kept. Raises
        `ValueError` for a text that is no position.
        """

    def appended(self) -> Iterator[LogRecord]:
        """Yield the records since the previous call, oldest first. The first call starts at the oldest in the file."""

    def forwarded(self, groups: Collection[str] | None) -> Iterator[ForwardedRequest]:
        """Yield the requests that were forwarded to these target groups since the previous call, oldest first.

        None stands for all groups. Takes the place of `appended`, and reads only the fields that it needs.
        """

    def repeatable(self, group: str, choose: Callable[[], bool]) -> Iterator[LoggedRequest]:
        """Yield GET and HEAD requests that a target of a group has answered since the previous call, oldest first.

        Only those for which `choose` returns True. Leaves out responses with 5XX, upgrades such as those to a
        WebSocket, and requests that the log has only in part. Takes the place of `appended`.
        """

    def skip(self) -> None:
        """Make the next `appended`, `forwarded` or `repeatable` start with records that are written later."""

    def rewind(self, to: datetime, max_bytes: int | None = None) -> bool:
        """Make the next of these calls start after the latest record that ended before a time.

        If there is none, it starts with the oldest record that is kept, or of the last `max_bytes`. Return False if
        records after that time may be missing.
        """


def load_balancer_name(owner: str, name: str, kind: Literal["app", "net", "gateway"] = "app") -> str:
    """Return ELB's `app/NAME/ID`. The owner takes the place of the ID and makes the name unique.

    CloudWatch writes `gateway` where ARNs have `gwy`.
    """
    return f"{kind}/{name}/{owner}"


def target_group_name(owner: str, group: str) -> str:
    """Return the name of a target group that is unique over all owners. Neither part contains a dot."""
    return f"{owner}.{group}"
