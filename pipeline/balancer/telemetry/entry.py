"""An entry of the access log, as an Application Load Balancer writes it: its fields, with its meanings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.balancer.haproxy.index import DEFAULT
from pipeline.balancer.telemetry.line import Line
from pipeline.balancer.telemetry.outcome import Outcome, was_refused

# What ELB writes for a time that was not taken, and for the rule of a request that none was looked for.
_NEVER = -1
# The last day of the year 9999, in milliseconds.
_LATEST = 253_402_214_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request. Times taken are seconds, -1 where it did not come to that."""

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
    actions_executed: str | None
    redirect_url: str | None
    error_reason: str | None
    classification: str | None
    classification_reason: str | None
    # HAProxy tells neither the certificate that it chose, nor which requests came on one connection.
    chosen_cert_arn: str | None = None
    conn_trace_id: str | None = None

    @classmethod
    def of(cls, line: Line) -> Entry:
        """Work it out."""
        outcome = Outcome.of(line)
        classification, _, why = (line.text("classification") or "").partition(":")
        return cls(
            type=_type(line),
            time=_moment(line.ended),
            elb=outcome.load_balancer,
            client=line.fields["client"],
            target=outcome.target,
            request_processing_time=_request_processing_time(line),
            target_processing_time=_seconds(line.numbers["response"]),
            # HAProxy passes headers on as they come. How long the body took is in `time`.
            response_processing_time=_NEVER if outcome.target_status is None else 0.0,
            elb_status_code=outcome.elb_status,
            target_status_code=outcome.target_status,
            received_bytes=line.numbers["received_bytes"],
            sent_bytes=line.numbers["sent_bytes"],
            request=_request(line),
            user_agent=line.text("user_agent"),
            ssl_cipher=line.text("cipher"),
            ssl_protocol=line.text("tls_version"),
            target_group_arn=outcome.target_group,
            trace_id=line.text("trace"),
            domain_name=line.text("server_name"),
            matched_rule_priority=_priority(line, outcome),
            request_creation_time=_moment(line.created),
            actions_executed=outcome.action,
            redirect_url=line.text("location") if outcome.action == "redirect" else None,
            error_reason=outcome.error_reason,
            classification=classification or None,
            classification_reason=why or None,
        )


def _type(line: Line) -> str:
    """ELB has names for HTTP/2 and gRPC over TLS only, as it takes them in no other way."""
    secure = line.text("tls_version") is not None
    if line.numbers["target_status"] == 101 and (line.text("upgrade") or "").lower() == "websocket":
        return "wss" if secure else "ws"
    if not secure:
        return "http"
    if (line.text("content_type") or "").lower().startswith("application/grpc"):
        return "grpcs"
    return "h2" if line.fields["version"].startswith("HTTP/2") else "https"


def _request_processing_time(line: Line) -> float:
    """Until it was sent to the target: from its first byte, with the wait for a connection."""
    steps = [line.numbers[step] for step in ("request", "queue", "connect")]
    return _NEVER if min(steps) < 0 else _seconds(sum(steps))


def _request(line: Line) -> str:
    """The request line, its URL made whole."""
    method, uri, version = line.text("method"), line.text("uri"), line.text("version")
    if method is None or uri is None:
        return "- - -"
    return f"{method} {_url(line, uri)} {version or '-'}"


def _url(line: Line, uri: str) -> str:
    """HTTP/2 says it whole. `*` and the place that CONNECT asks for are no paths."""
    if uri.startswith("/"):
        scheme, host, path = ("https" if line.text("tls_version") else "http"), line.text("host") or "-", uri
    elif "://" in uri:
        scheme, _, rest = uri.partition("://")
        host, slash, path = rest.partition("/")
        path = slash + path
    else:
        return uri
    ported = host.rpartition(":")[2].isdigit() and not host.endswith("]")
    return f"{scheme}://{host}{path}" if ported else f"{scheme}://{host}:{line.fields['listener'].split('.')[2]}{path}"


def _priority(line: Line, outcome: Outcome) -> int:
    """0: the default action. A listener that has nothing else looks for no rule, and names none."""
    if was_refused(line) or outcome.action is None:
        return _NEVER
    rule = line.numbers["rule"]
    return 0 if rule in (-1, DEFAULT) else rule


def _seconds(milliseconds: int) -> float:
    return _NEVER if milliseconds < 0 else milliseconds / 1000


def _moment(milliseconds: int) -> datetime:
    """The nearest that there is a date for: what a line says may be nonsense."""
    return datetime.fromtimestamp(min(max(milliseconds, 0), _LATEST) / 1000, UTC)
