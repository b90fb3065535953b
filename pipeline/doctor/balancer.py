"""The balancer: HAProxy, the rights for the kernel's part, and the ports of the pipeline."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.model import Declaration
from pipeline.balancer.planes import data_plane_version, gateway_fault, kernel_fault, open_balancer
from pipeline.doctor.check import Check
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.finding import Finding


def balancer_checks(context: DoctorContext) -> Iterator[Check]:
    """Yield the checks of the balancer."""
    yield Check("HAProxy", lambda: [Finding.ok("HAProxy", data_plane_version())])
    yield Check("kernel", lambda: [_kernel(context)])
    if context.configuration is not None and context.configuration.pipeline.balancer.endpoints:
        yield Check("endpoints", lambda: [_endpoints()])
    if context.home.balancer.exists():
        yield Check("appliances", lambda: _packets(open_balancer(context.home.balancer)))
    if context.configuration is not None and context.configuration.pipeline.balancer.load_balancers:
        pipeline = context.configuration.pipeline
        yield Check("ports", lambda: _ports(context.home.balancer, pipeline.name, pipeline.balancer))


def _kernel(context: DoctorContext) -> Finding:
    fault = kernel_fault()
    if fault is None:
        return Finding.ok("kernel", "nftables can carry network load balancers")
    text = f"HAProxy carries network load balancers, and no UDP: {fault.message}"
    return Finding.warning("kernel", text, fault.hint or "") if _is_needed(context) else Finding.ok("kernel", text)


def _endpoints() -> Finding:
    fault = gateway_fault()
    if fault is None:
        return Finding.ok("endpoints", "the kernel can send packets through appliances")
    return Finding.failed("endpoints", fault.message, fault.hint or "")


def _packets(balancer: BalancerReader) -> Iterator[Finding]:
    """Yield what keeps packets of endpoints from appliances."""
    labels = {each.endpoint_id: each.label for each in balancer.registry().endpoints.values()}
    for (endpoint, network), reason in balancer.network_faults().items():
        if endpoint in labels:
            text = f"network {network} of {labels[endpoint]} is not attached: {reason}"
            yield Finding.warning("endpoints", text, "see `pipeline balancer endpoints`")
    for target, reason in balancer.unusable_targets().items():
        yield Finding.warning(
            "appliances", f"{target} gets no flows: {reason}", "register an address that this machine can reach by IPv4"
        )


def _is_needed(context: DoctorContext) -> bool:
    if context.configuration is None:
        return False
    balancers = context.configuration.pipeline.balancer.load_balancers.values()
    return any(each.type == "network" for each in balancers)


def _ports(directory: Path, owner: str, declaration: Declaration) -> Iterator[Finding]:
    """Yield whether HAProxy has the ports already, or can bind them. Raises `ConfigError` for the first one."""
    ports = sorted({listener.port for _, _, listener in declaration.listeners() if listener.port})
    with tempfile.TemporaryDirectory() as empty:
        open_balancer(directory if directory.exists() else Path(empty)).check(owner, declaration)
    if ports:
        yield Finding.ok("ports", f"{', '.join(map(str, ports))}: free, or HAProxy of this home has them")
