"""A server of AWS APIs on loopback, and botocore's clients for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from pipeline.aws.endpoint import Endpoint
from pipeline.aws.keys import AccessKey, AccessKeys
from pipeline.aws.service import Service
from pipeline.http.aws import aws_server_config
from pipeline.http.serving import http_server, public_socket
from tests.support.ports import free_port

REGION = "eu-west-1"


@dataclass(frozen=True)
class AwsServer:
    """A running server. `key` is the one that its clients sign with."""

    url: str
    keys: AccessKeys
    key: AccessKey

    def client(self, service: str, *, key: AccessKey | None = None, **config: Any) -> Any:
        """Return a client that does not repeat failed requests."""
        used = key or self.key
        return client(service, self.url, {"id": used.id, "secret": used.secret}, **config)


def client(service: str, url: str, key: Mapping[str, str], region: str = REGION, **config: Any) -> Any:
    """Return a client that does not repeat failed requests. `key` has `id` and `secret`."""
    return botocore.session.Session().create_client(
        service,
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=key["id"],
        aws_secret_access_key=key["secret"],
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


@contextmanager
def aws_server(
    folder: Path, services: Sequence[Service], now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Iterator[AwsServer]:
    """Serve some services on a free port, with access keys in a folder."""
    keys = AccessKeys(folder)
    key = keys.create("aws")
    endpoint = Endpoint(services, keys.find, now)
    address = f"127.0.0.1:{free_port()}"
    with http_server(lambda: aws_server_config(endpoint), public_socket(address)):
        yield AwsServer(f"http://{address}", keys, key)


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    """Return the code and the message of a call that must fail."""
    try:
        call(**parameters)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    raise AssertionError("the call succeeded")
