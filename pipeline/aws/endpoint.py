"""The endpoint: from a signed request to a service, to its operation, to the response."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from pipeline.aws.errors import AwsError
from pipeline.aws.form import parse_form
from pipeline.aws.keys import AccessKey
from pipeline.aws.message import HttpRequest, HttpResponse
from pipeline.aws.model import protocol, service_model
from pipeline.aws.request import read_input
from pipeline.aws.response import write_error, write_output
from pipeline.aws.service import Call, Service
from pipeline.aws.signature import Credential, verify
from pipeline.base.errors import ConfigError, PenstockError

if TYPE_CHECKING:
    from botocore.model import ServiceModel

_FORM = "application/x-www-form-urlencoded"
# What the protocols `ec2` and `json` call an error that has another code in `query`.
_CODES = {
    "json": {
        "InvalidClientTokenId": "UnrecognizedClientException",
        "SignatureDoesNotMatch": "InvalidSignatureException",
        "IncompleteSignature": "IncompleteSignatureException",
        "MissingAuthenticationToken": "MissingAuthenticationTokenException",
        "InvalidAction": "UnknownOperationException",
        "ValidationError": "ValidationException",
    },
    "ec2": {"InvalidClientTokenId": "AuthFailure", "ValidationError": "InvalidParameterValue"},
}
_logger = structlog.get_logger(__name__)


class Endpoint:
    """Answers the requests of AWS clients. Safe to call from many threads at once.

    `find_key` returns the access key with an id, and `now` the time, in UTC.
    """

    def __init__(
        self,
        services: Sequence[Service],
        find_key: Callable[[str], AccessKey | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._services = services
        self._find_key = find_key
        self._now = now

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request. Raises nothing."""
        return _Exchange(self._services, self._find_key, self._now, request).answer()


class _Exchange:
    """One request and what is known about it so far, because an error is written in the protocol of its service."""

    def __init__(
        self,
        services: Sequence[Service],
        find_key: Callable[[str], AccessKey | None],
        now: Callable[[], datetime],
        request: HttpRequest,
    ) -> None:
        self._services = services
        self._find_key = find_key
        self._now = now
        self._request = request
        self._id = str(uuid.uuid4())
        self._model: ServiceModel | None = None
        self._protocol = "json" if "x-amz-target" in request.headers else "query"

    def answer(self) -> HttpResponse:
        try:
            return self._answer()
        except AwsError as error:
            return self._error(error)
        except ConfigError as error:
            return self._error(AwsError("ValidationError", _sentence(error)))
        except PenstockError as error:
            _logger.warning("request failed", error=error.message, request=self._id)
            return self._error(AwsError("ServiceUnavailable", _sentence(error), 503))
        except Exception:
            _logger.exception("request failed", request=self._id)
            message = f"The request processing has failed because of an unknown error: see the log for {self._id}"
            return self._error(AwsError("InternalFailure", message, 500))

    def _answer(self) -> HttpResponse:
        request = self._request
        credential = Credential.from_request(request)
        form = self._form() if self._protocol == "query" else {}
        service = self._service(credential.scope, form.get("Version"))
        key = verify(request, credential, self._find_key, self._now())
        name = self._operation_name(form)
        assert self._model is not None
        operation = self._model.operation_model(name)
        parameters = read_input(operation, self._protocol, form, request.body)
        carry_out = self._offered(service, name)
        result = carry_out(Call(key.owner, credential.region, parameters, self._id))
        return write_output(operation, self._protocol, result, self._id)

    def _form(self) -> dict[str, str]:
        kind = self._request.headers.get("content-type", _FORM).partition(";")[0].strip().lower()
        if self._request.body and kind != _FORM:
            raise AwsError("InvalidAction", f"The body must be a form ({_FORM}), or JSON with the header X-Amz-Target")
        parts = (self._request.query.encode(), self._request.body)
        return parse_form(b"&".join(part for part in parts if part))

    def _service(self, scope: str, version: str | None) -> Service:
        """Find the service, and its model and protocol."""
        found = [service for service in self._services if service.scope == scope]
        if not found:
            offered = ", ".join(sorted({service.scope for service in self._services}))
            raise AwsError("InvalidAction", f"This endpoint does not offer the service {scope}. It offers {offered}.")
        # An unknown version is answered in the protocol of any version of the service.
        service = next((each for each in found if each.version == version), found[0])
        self._model = service_model(service.name, service.version)
        self._protocol = protocol(self._model)
        if self._protocol != "json" and version != service.version:
            versions = ", ".join(each.version for each in found)
            text = f"The requested version ({version or ''}) of service {scope} does not exist. There is {versions}."
            raise AwsError("NoSuchVersion", text)
        return service

    def _operation_name(self, form: Mapping[str, str]) -> str:
        assert self._model is not None
        if self._protocol == "json":
            prefix, _, name = self._request.headers.get("x-amz-target", "").rpartition(".")
            is_known = prefix == self._model.metadata.get("targetPrefix") and name in self._model.operation_names
            text = "The header X-Amz-Target must name an operation of this service"
        else:
            name = form.get("Action", "")
            if not name:
                raise AwsError("MissingAction", "The request must contain the parameter Action.")
            is_known = name in self._model.operation_names
            text = f"The action {name} is not valid for this web service."
        if not is_known:
            raise AwsError("InvalidAction", text)
        return name

    def _offered(self, service: Service, name: str) -> Callable[[Call], Mapping[str, Any]]:
        if name in service.operations:
            return service.operations[name]
        reason = service.refused.get(name, "Penstock does not offer it.")
        raise AwsError("InvalidAction", f"The action {name} is not valid for this web service. {reason}")

    def _error(self, error: AwsError) -> HttpResponse:
        code = _CODES.get(self._protocol, {}).get(error.code, error.code)
        metadata = self._model.metadata if self._model is not None else {}
        return write_error(metadata, self._protocol, AwsError(code, error.message, error.status), self._id)


def _sentence(error: PenstockError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
