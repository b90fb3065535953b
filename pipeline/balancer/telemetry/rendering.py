"""An entry as ELB's line of words separated by spaces, and as a JSON object with the same names."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import datetime

from pipeline.balancer.access import AccessEntry, TlsEntry

Value = str | int | float | datetime | None

# ELB's fields in their order → attribute, and True if the field is quoted.
_FIELDS: dict[str, tuple[str, bool]] = {
    "type": ("type", False),
    "time": ("time", False),
    "elb": ("elb", False),
    "client:port": ("client", False),
    "target:port": ("target", False),
    "request_processing_time": ("request_processing_time", False),
    "target_processing_time": ("target_processing_time", False),
    "response_processing_time": ("response_processing_time", False),
    "elb_status_code": ("elb_status_code", False),
    "target_status_code": ("target_status_code", False),
    "received_bytes": ("received_bytes", False),
    "sent_bytes": ("sent_bytes", False),
    "request": ("request", True),
    "user_agent": ("user_agent", True),
    "ssl_cipher": ("ssl_cipher", False),
    "ssl_protocol": ("ssl_protocol", False),
    "target_group_arn": ("target_group_arn", False),
    "trace_id": ("trace_id", True),
    "domain_name": ("domain_name", True),
    "chosen_cert_arn": ("chosen_cert_arn", True),
    "matched_rule_priority": ("matched_rule_priority", False),
    "request_creation_time": ("request_creation_time", False),
    "actions_executed": ("actions_executed", True),
    "redirect_url": ("redirect_url", True),
    "error_reason": ("error_reason", True),
    "target:port_list": ("target", True),
    "target_status_code_list": ("target_status_code", True),
    "classification": ("classification", True),
    "classification_reason": ("classification_reason", True),
    "conn_trace_id": ("conn_trace_id", False),
}
# Characters that end a quoted word or control a terminal.
_SPECIAL = re.compile(r'["\\]|[^ -~]')


# The same for TLS connections, of which no field is quoted.
_TLS_FIELDS: dict[str, str] = {
    {"client": "client:port", "destination": "destination:port"}.get(field.name, field.name): field.name
    for field in fields(TlsEntry)
}


def as_line(entry: AccessEntry | TlsEntry) -> str:
    """Return ELB's line. Nothing that a client sent can end a field or the line."""
    if isinstance(entry, TlsEntry):
        return " ".join(_word(_second(getattr(entry, name)), quoted=False) for name in _TLS_FIELDS.values())
    return " ".join(_word(getattr(entry, name), quoted=quoted) for name, quoted in _FIELDS.values())


def as_data(entry: AccessEntry | TlsEntry) -> dict[str, str | int | float | None]:
    """Return the entry for JSON: numbers as numbers, null for a missing value."""
    names = (
        _TLS_FIELDS if isinstance(entry, TlsEntry) else {name: attribute for name, (attribute, _) in _FIELDS.items()}
    )
    found: dict[str, Value] = {name: getattr(entry, attribute) for name, attribute in names.items()}
    return {name: _time(value) if isinstance(value, datetime) else value for name, value in found.items()}


def _word(value: Value, *, quoted: bool) -> str:
    text = _text(value) or "-"
    return f'"{_SPECIAL.sub(_escaped, text)}"' if quoted else _SPECIAL.sub(_escaped, text).replace(" ", r"\x20")


def _text(value: Value) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return _time(value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _second(value: Value) -> Value:
    """Return a time as ELB writes it for TLS connections: without fractions and zone."""
    return value.strftime("%Y-%m-%dT%H:%M:%S") if isinstance(value, datetime) else value


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _escaped(found: re.Match[str]) -> str:
    """Return the bytes of a character as nginx and Apache escape them."""
    return "".join(f"\\x{byte:02X}" for byte in found[0].encode())
