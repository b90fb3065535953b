"""The server of the AWS APIs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.aws.endpoint import Endpoint
from pipeline.aws.keys import AccessKeys
from pipeline.aws.message import HttpRequest
from pipeline.aws.service import Service
from pipeline.aws.sts import sts_service
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.service import elbv2_service
from pipeline.balancer.endpoint_resources import EndpointState
from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home
from pipeline.certificates.acm import acm_service
from pipeline.certificates.store import CertificateStore
from pipeline.config.owner_policy import allowed_networks
from pipeline.daemon.endpoint_control import EndpointControl
from pipeline.ecs.api import ecs_service
from pipeline.ecs.ecs import Ecs
from pipeline.ecs.tasks import containers_of
from pipeline.http.connections import ConnectionLimits, limited_config
from pipeline.http.serving import MAX_CONNECTIONS, REQUEST_TIMEOUT
from pipeline.machine.endpoints.api import Endpoints
from pipeline.machine.instances import containers
from pipeline.machine.network import MachineNetwork, certificate_users, interfaces
from pipeline.network.ec2 import ec2_service
from pipeline.network.lookup import Networks
from pipeline.network.store import NetworkStore
from pipeline.network.zones import Zone
from pipeline.parameter_store.ssm import ssm_service
from pipeline.parameter_store.store import ParameterStore
from pipeline.stacks.cloudformation.service import cloudformation_service
from pipeline.stacks.providers.ecs_registration import requested_revision
from pipeline.stacks.stacks import Stacks
from pipeline.store.clusters import clusters_in
from pipeline.store.store import Store

# Bytes. The longest requests have a template of CloudFormation, 51,200 characters before they are escaped.
MAX_BODY = 1_000_000
# Seconds. Clients reuse connections, so they are not closed between two polls of a waiter, which are 15 s apart.
_IDLE_TIMEOUT = 60
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def aws_services(
    home: Home, zones: Sequence[Zone], stacks: Callable[[], Stacks], ecs: Callable[[], Ecs]
) -> Sequence[Service]:
    """Return the services of a home. A package that offers an API adds its `Service` here, and nothing else."""
    networks, certificates = NetworkStore(home.aws, zones), CertificateStore(home.aws)
    balancer, instances = open_balancer(home.balancer), partial(containers, home, partial(clusters_in, home.database))
    network = MachineNetwork(Networks(networks), zones, certificates, instances)
    endpoints = Endpoints(balancer, networks, partial(_decide, home, balancer), partial(allowed_networks, home))
    return (
        sts_service(),
        ec2_service(networks, partial(interfaces, balancer), instances, endpoints),
        acm_service(certificates, partial(certificate_users, balancer)),
        elbv2_service(Api(balancer, network)),
        ssm_service(ParameterStore(home.aws)),
        cloudformation_service(stacks),
        ecs_service(ecs, containers_of(home), requested_revision),
    )


def _decide(home: Home, balancer: Balancer, endpoint: str, state: EndpointState, user: str) -> None:
    with Store(home.database) as store:
        control = EndpointControl(balancer, store.events.record)
        decide = control.accept if state is EndpointState.AVAILABLE else control.reject
        decide(endpoint, by=user)


def aws_config(
    home: Home, zones: Sequence[Zone], stacks: Callable[[], Stacks], ecs: Callable[[], Ecs]
) -> uvicorn.Config:
    """Return the configuration of a server for the AWS APIs of a home."""
    return aws_server_config(Endpoint(aws_services(home, zones, stacks, ecs), AccessKeys(home.aws).find))


def aws_server_config(endpoint: Endpoint) -> uvicorn.Config:
    """Return the configuration of a server for an endpoint."""
    limits = ConnectionLimits(MAX_CONNECTIONS, lambda: REQUEST_TIMEOUT, until_request=True)
    return limited_config(aws_app(endpoint), limits, timeout_keep_alive=_IDLE_TIMEOUT, timeout_graceful_shutdown=5)


def aws_app(endpoint: Endpoint) -> Starlette:
    """Return the application of an endpoint. It answers requests to every path, because clients of S3 use them all."""

    async def answer(request: Request) -> Response:
        body = await _body(request)
        received = HttpRequest(
            method=request.method,
            path=request.scope["raw_path"].decode("ascii"),
            query=request.scope["query_string"].decode("ascii"),
            headers={name: ",".join(request.headers.getlist(name)) for name in request.headers},
            body=body,
        )
        answer = await run_in_threadpool(endpoint.answer, received)
        return Response(answer.body, answer.status, dict(answer.headers))

    app = Starlette(routes=[Route("/{path:path}", answer, methods=_METHODS)])
    app.router.redirect_slashes = False
    return app


async def _body(request: Request) -> bytes:
    """Return the body of a request. Raises `HTTPException` if it is too large or incomplete."""
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > MAX_BODY:
                raise HTTPException(413, f"the body is larger than {MAX_BODY} bytes", {"connection": "close"})
    except ClientDisconnect:
        raise HTTPException(400, "the body is shorter than its Content-Length") from None
    return bytes(content)
