"""The service models of botocore, which define what requests and responses contain.

botocore is optional and takes some megabytes, so it is imported at the first request.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pipeline.base.errors import ConfigError

if TYPE_CHECKING:
    from botocore.model import ServiceModel

_PROTOCOLS = ("query", "ec2", "json")


def check_installed() -> None:
    """Raise `ConfigError` if botocore is not installed. Imports nothing."""
    from importlib.util import find_spec

    if find_spec("botocore") is None:
        raise ConfigError("the AWS APIs need botocore, which is not installed", hint="pip install 'penstock-cd[aws]'")


@cache
def service_model(name: str, version: str) -> ServiceModel:
    """Return the model of a service. Safe to call from any thread."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    # Without the default paths: a model in the user's ~/.aws must not change what the endpoint accepts.
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    return ServiceModel(loader.load_service_model(name, "service-2", version), name)


def protocol(model: ServiceModel) -> str:
    """Return the protocol of a service: `query`, `ec2` or `json`."""
    offered = model.metadata.get("protocols") or [model.metadata["protocol"]]
    return str(next(each for each in _PROTOCOLS if each in offered))
