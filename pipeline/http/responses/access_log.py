"""Entries of the access log, as the control API and `--json` show them."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from pipeline.http.responses.body import Body, Timestamp


class _Entry(Body):
    """An entry. Its names are those of ELB, in ELB's order."""

    model_config = ConfigDict(serialize_by_alias=True)


class RequestEntryResponse(_Entry):
    """A request, with the fields of an Application Load Balancer's access log. Durations are seconds, -1 if unknown."""

    type: str
    time: str = Field(description="End of the response.")
    elb: str
    client: str = Field(alias="client:port")
    target: str | None = Field(alias="target:port")
    request_processing_time: float
    target_processing_time: float = Field(description="Until the response headers of the target arrived.")
    response_processing_time: float
    elb_status_code: int | None = Field(description="What the client got.")
    target_status_code: int | None
    received_bytes: int
    sent_bytes: int
    request: str = Field(description="Method, URL and version.")
    user_agent: str | None
    ssl_cipher: str | None
    ssl_protocol: str | None
    target_group_arn: str | None = Field(description="The target group, as `PIPELINE.GROUP`.")
    trace_id: str | None
    domain_name: str | None
    chosen_cert_arn: str | None
    matched_rule_priority: int
    request_creation_time: str
    actions_executed: str | None
    redirect_url: str | None
    error_reason: str | None
    targets: str | None = Field(alias="target:port_list")
    target_status_code_list: int | None
    classification: str | None
    classification_reason: str | None
    conn_trace_id: str | None
    position: str | None = Field(None, description="Its position in the log, null for one that is followed.")


class TlsEntryResponse(_Entry):
    """A TLS connection, with the fields of a Network Load Balancer's access log. Durations are milliseconds."""

    type: str
    version: str
    time: str
    elb: str
    listener: str
    client: str = Field(alias="client:port")
    destination: str = Field(alias="destination:port")
    connection_time: int
    tls_handshake_time: int | None
    received_bytes: int
    sent_bytes: int
    incoming_tls_alert: int | None
    chosen_cert_arn: str | None
    chosen_cert_serial: str | None
    tls_cipher: str | None
    tls_protocol_version: str | None
    tls_named_group: str | None
    domain_name: str | None
    alpn_fe_protocol: str | None
    alpn_be_protocol: str | None
    alpn_client_preference_list: str | None
    tls_connection_creation_time: str
    position: str | None = Field(None, description="Its position in the log, null for one that is followed.")


class AccessLogResponse(Body):
    """Entries of the access log, newest first.

    A page reads a part of the log only. With fewer entries than the limit and a `next`, older ones were not read yet.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    entries: list[RequestEntryResponse | TlsEntryResponse]
    next: str | None = Field(description="The value of `before` for older entries; null if there are none.")
    since: Timestamp | None = Field(description="The end of the oldest entry that was read, whether or not it passed.")
