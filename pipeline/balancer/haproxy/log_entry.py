"""A line of HAProxy's access log as an entry of an Application Load Balancer's."""

from __future__ import annotations

from pipeline.balancer.access import AccessEntry
from pipeline.balancer.haproxy.log_line import AccessLogLine, datetime_from_milliseconds
from pipeline.balancer.haproxy.log_outcome import RequestOutcome

# ELB writes this for an unknown duration.
_UNKNOWN = -1


def entry_from_line(line: AccessLogLine) -> AccessEntry:
    """Return the entry of a line. HAProxy knows neither `chosen_cert_arn` nor `conn_trace_id`."""
    outcome = RequestOutcome.from_line(line)
    classification, _, reason = (line.text("classification") or "").partition(":")
    return AccessEntry(
        type=_type(line),
        time=datetime_from_milliseconds(line.ended),
        elb=outcome.load_balancer,
        client=line.fields["client"],
        target=outcome.target,
        request_processing_time=_request_processing_time(line),
        target_processing_time=_seconds(line.numbers["response"]),
        # HAProxy forwards headers as soon as they arrive. The duration of the body is part of `time`.
        response_processing_time=_UNKNOWN if outcome.target_status is None else 0.0,
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
        matched_rule_priority=outcome.rule,
        request_creation_time=datetime_from_milliseconds(line.created),
        actions_executed=outcome.action,
        redirect_url=line.text("location") if outcome.action == "redirect" else None,
        error_reason=outcome.error_reason,
        classification=classification or None,
        classification_reason=reason or None,
    )


def _type(line: AccessLogLine) -> str:
    """Return ELB's name. It has names for HTTP/2 and gRPC over TLS only, because it accepts them in no other way."""
    secure = line.text("tls_version") is not None
    if line.numbers["target_status"] == 101 and (line.text("upgrade") or "").lower() == "websocket":
        return "wss" if secure else "ws"
    if not secure:
        return "http"
    if (line.text("content_type") or "").lower().startswith("application/grpc"):
        return "grpcs"
    return "h2" if line.fields["version"].startswith("HTTP/2") else "https"


def _request_processing_time(line: AccessLogLine) -> float:
    """Return the time from the request's first byte until it was sent to the target, with the wait for a connection."""
    steps = [line.numbers[step] for step in ("request", "queue", "connect")]
    return _UNKNOWN if min(steps) < 0 else _seconds(sum(steps))


def _request(line: AccessLogLine) -> str:
    """Return the request line with a complete URL."""
    method, uri, version = line.text("method"), line.text("uri"), line.text("version")
    if method is None or uri is None:
        return "- - -"
    return f"{method} {_url(line, uri)} {version or '-'}"


def _url(line: AccessLogLine, uri: str) -> str:
    """Return the URL of a path. HTTP/2 sends the whole URL; `*` and the authority of CONNECT are not paths."""
    if uri.startswith("/"):
        scheme, host, path = ("https" if line.text("tls_version") else "http"), line.text("host") or "-", uri
    elif "://" in uri:
        scheme, _, rest = uri.partition("://")
        host, slash, path = rest.partition("/")
        path = slash + path
    else:
        return uri
    has_port = host.rpartition(":")[2].isdigit() and not host.endswith("]")
    return f"{scheme}://{host}{path}" if has_port else f"{scheme}://{host}:{line.port}{path}"


def _seconds(milliseconds: int) -> float:
    return _UNKNOWN if milliseconds < 0 else milliseconds / 1000
