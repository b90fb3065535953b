"""AWS::ElasticLoadBalancingV2::ListenerCertificate."""

from __future__ import annotations

from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.base.errors import ConfigError
from pipeline.stacks.provider import Pending, Properties, State
from pipeline.stacks.providers.elbv2.client import Elbv2, is_missing
from pipeline.stacks.providers.elbv2.properties import Certificate, Certificates, parameters
from pipeline.stacks.providers.kept_store import KeptResource, KeptStore

TYPE = "AWS::ElasticLoadBalancingV2::ListenerCertificate"


class ListenerCertificateProperties(Properties):
    """The properties of certificates of a listener."""

    listener_arn: str
    certificates: Certificates


class ListenerCertificate:
    """Adds certificates to listeners. It keeps which, because a listener does not tell who has added one."""

    properties = ListenerCertificateProperties
    replaces = frozenset({"ListenerArn"})

    def __init__(self, elbv2: Elbv2, store: KeptStore) -> None:
        self._elbv2 = elbv2
        self._store = store

    def create(self, token: str, properties: ListenerCertificateProperties) -> State | Pending:
        """Add certificates."""
        context, given = self._elbv2.context, parameters(properties)
        kept = self._store.add(KeptResource(token, TYPE, context.owner, context.made_by, token, given))
        self._elbv2("AddListenerCertificates", **given)
        return _state(kept)

    def find(self, token: str) -> str | None:
        """Return the token, which is the id."""
        found = self._kept(token)
        return found.id if found else None

    def read(self, physical_id: str) -> State | None:
        """Return the certificates that the listener still has."""
        found = self._kept(physical_id)
        if found is None:
            return None
        try:
            shown = self._elbv2("DescribeListenerCertificates", ListenerArn=found.properties["ListenerArn"])
        except AwsError as error:
            if is_missing(error):
                return None
            raise
        present = {each["CertificateArn"] for each in shown["Certificates"] if not each["IsDefault"]}
        certificates = [each for each in found.properties["Certificates"] if each["CertificateArn"] in present]
        state = _state(found)
        return State(state.physical_id, state.attributes, {**found.properties, "Certificates": certificates})

    def update(
        self, physical_id: str, before: ListenerCertificateProperties, after: ListenerCertificateProperties
    ) -> State | Pending:
        """Add and remove certificates."""
        found = self._kept(physical_id)
        if found is None:
            raise ConfigError(f"{physical_id} does not exist")
        given = parameters(after)
        self._elbv2("AddListenerCertificates", **given)
        self._remove(after.listener_arn, [each for each in before.certificates if each not in after.certificates])
        kept = KeptResource(found.token, TYPE, found.owner, found.made_by, found.id, given)
        self._store.put(kept)
        return _state(kept)

    def delete(self, physical_id: str) -> Pending | None:
        """Remove the certificates."""
        if found := self._kept(physical_id):
            properties = ListenerCertificateProperties.model_validate(found.properties)
            self._remove(properties.listener_arn, properties.certificates)
        self._store.delete(self._elbv2.context.owner, TYPE, physical_id)
        return None

    def _kept(self, resource_id: str) -> KeptResource | None:
        return self._store.find(self._elbv2.context.owner, TYPE, resource_id)

    def _remove(self, listener: str, certificates: list[Certificate]) -> None:
        if not certificates:
            return
        gone: list[dict[str, Any]] = [parameters(each) for each in certificates]
        try:
            self._elbv2("RemoveListenerCertificates", ListenerArn=listener, Certificates=gone)
        except AwsError as error:
            if not is_missing(error):
                raise


def _state(kept: KeptResource) -> State:
    return State(kept.id, {"Id": kept.id}, kept.properties)
