"""Operations whose subject a machine does not have. They answer as AWS does where nothing is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api

Result = Mapping[str, Any]
_NO_S3 = (
    "there is no S3; name the file of the authorities in pipeline.yaml, listeners.mutual_authentication.trust_store"
)
_OWN_ADDRESSES = "this machine has its own addresses"


def create_trust_store(_: Api, call: Call) -> Result:
    """CreateTrustStore, whose authorities are in S3."""
    place = f"s3://{call.parameters['CaCertificatesBundleS3Bucket']}/{call.parameters['CaCertificatesBundleS3Key']}"
    raise AwsError("CaCertificatesBundleNotFound", f"{place} not found: {_NO_S3}")


def describe_trust_stores(_: Api, call: Call) -> Result:
    """DescribeTrustStores. There are none."""
    if named := call.parameters.get("TrustStoreArns") or call.parameters.get("Names"):
        raise AwsError("TrustStoreNotFound", f"Trust store '{named[0]}' not found")
    return {"TrustStores": []}


def no_trust_store(_: Api, call: Call) -> Result:
    """Any operation on a trust store."""
    raise AwsError("TrustStoreNotFound", f"Trust store '{call.parameters['TrustStoreArn']}' not found")


def get_resource_policy(_: Api, call: Call) -> Result:
    """GetResourcePolicy. Only trust stores have one."""
    raise AwsError("ResourceNotFound", f"Resource policy of '{call.parameters['ResourceArn']}' not found")


def describe_capacity_reservation(api: Api, call: Call) -> Result:
    """DescribeCapacityReservation. Nothing is reserved."""
    api.view(call).load_balancer(call.parameters["LoadBalancerArn"])
    return {"DecreaseRequestsRemaining": 0, "CapacityReservationState": []}


def modify_capacity_reservation(api: Api, call: Call) -> Result:
    """ModifyCapacityReservation. A reset does nothing, and a reservation is refused."""
    api.view(call).load_balancer(call.parameters["LoadBalancerArn"])
    if "MinimumLoadBalancerCapacity" in call.parameters:
        reason = "Capacity cannot be reserved: the load balancer has what this machine has"
        raise AwsError("InvalidConfigurationRequest", reason)
    return describe_capacity_reservation(api, call)


def modify_ip_pools(api: Api, call: Call) -> Result:
    """ModifyIpPools. Removing a pool does nothing, and another one is refused."""
    api.view(call).load_balancer(call.parameters["LoadBalancerArn"])
    if call.parameters.get("IpamPools"):
        raise AwsError("InvalidConfigurationRequest", f"IPAM pools are not supported: {_OWN_ADDRESSES}")
    return {"IpamPools": {}}
