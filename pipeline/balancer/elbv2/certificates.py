"""Certificates of listeners. The default one is part of the listener; the others are added and removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.limits import LIMITS, check_limit
from pipeline.balancer.elbv2.pages import page
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.model.tls import Certificate
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import CertificateResource, ListenerResource

Result = Mapping[str, Any]


def found_certificate(api: Api, call: Call, arn: str) -> Certificate:
    """Return the files of a certificate. Raises `CertificateNotFound`."""
    if found := api.network.certificate(call.owner, arn):
        return found
    raise AwsError("CertificateNotFound", f"Certificate {arn} not found")


def default_certificate(
    api: Api, call: Call, given: Sequence[Mapping[str, Any]], secure: bool
) -> dict[str, Any] | None:
    """Return the fields of a listener's default certificate without the listener, or None if it has none."""
    if not secure:
        if given:
            raise AwsError("ValidationError", "A certificate cannot be specified for listeners without TLS")
        return None
    if len(given) != 1:
        reason = "You must provide a list containing exactly one certificate if the listener protocol is HTTPS."
        raise AwsError("InvalidConfigurationRequest", reason)
    return new_certificate(api, call, given[0]["CertificateArn"], 0)


def new_certificate(api: Api, call: Call, arn: str, position: int) -> dict[str, Any]:
    """Return the fields of a new certificate without its listener."""
    fields = api.new(call, arn=arn)
    return {**fields, "tags": {}, "certificate": found_certificate(api, call, arn), "position": position}


def add_listener_certificates(api: Api, call: Call) -> Result:
    """AddListenerCertificates. One that the listener has already stays as it is."""
    arn, given = call.parameters["ListenerArn"], call.parameters["Certificates"]
    api.view(call).listener(arn)
    check_limit(LIMITS.certificates, 0, len(given))
    arns = list(dict.fromkeys(one["CertificateArn"] for one in given))
    made = {one: new_certificate(api, call, one, 0) for one in arns}

    def change(view: View) -> Registry:
        listener = _secure(view, arn)
        known = view.certificates(listener)
        held = {view.arn(one) for one in known if one.position}
        new = [fields for one, fields in made.items() if one not in held]
        check_limit(LIMITS.certificates, len(held), len(new))
        first = max((one.position for one in known), default=0) + 1
        return view.registry.put(
            *(
                CertificateResource(**{**fields, "position": position}, listener=listener.id)
                for position, fields in enumerate(new, first)
            )
        )

    api.change(call, change)
    return {"Certificates": [{"CertificateArn": one, "IsDefault": False} for one in arns]}


def remove_listener_certificates(api: Api, call: Call) -> Result:
    """RemoveListenerCertificates. Does nothing for one that the listener does not have."""
    arns = {one["CertificateArn"] for one in call.parameters["Certificates"]}

    def change(view: View) -> Registry:
        listener = view.changeable(view.listener(call.parameters["ListenerArn"]))
        known = view.certificates(listener)
        gone = [one.id for one in known if one.position and view.arn(one) in arns]
        if not gone and any(view.arn(one) in arns for one in known):
            raise AwsError("OperationNotPermitted", "The default certificate cannot be removed; modify the listener")
        return view.registry.drop(*gone) if gone else view.registry

    api.change(call, change)
    return {}


def describe_listener_certificates(api: Api, call: Call) -> Result:
    """DescribeListenerCertificates, the default one first."""
    view = api.view(call)
    known = view.certificates(view.listener(call.parameters["ListenerArn"]))
    shown, more = page(known, call.parameters, lambda one: f"{one.position:05}")
    return {
        "Certificates": [{"CertificateArn": view.arn(one), "IsDefault": one.position == 0} for one in shown],
        **more,
    }


def _secure(view: View, arn: str) -> ListenerResource:
    listener = view.changeable(view.listener(arn))
    if not listener.settings.secure:
        raise AwsError("ValidationError", "Certificates need a listener with the HTTPS or TLS protocol")
    return listener
