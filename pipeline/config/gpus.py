"""`gpus`: the GPUs of a container, in the forms of Compose and of `docker run --gpus`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from pipeline.balancer.model import Model
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Whole
from pipeline.base.written import written
from pipeline.config.container_values import PlainText
from pipeline.config.environment import Value
from pipeline.engine.container_options import DeviceRequest

_ALL = "all"
_GPU = "gpu"


def _requests(value: Any) -> Any:
    """Return the requests that a short form stands for."""
    if value == _ALL or (isinstance(value, int) and not isinstance(value, bool)):
        if value != _ALL and value < 1:
            raise ValueError(f"must be at least 1, or all, got {value}")
        return ({"count": value},)
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be all, a number or a list of requests, got {written(value)}")
    return value


class GpuRequest(Model):
    """A request for GPUs. Without `count` and `device_ids`, it is for all."""

    driver: PlainText = Field("", description="Driver, such as nvidia. Empty: chosen by Docker.")
    count: Annotated[Whole, Field(ge=1)] | Literal["all"] | None = Field(None, description="Number of GPUs, or all.")
    device_ids: tuple[PlainText, ...] = Field((), description="Ids of the GPUs, in place of `count`.")
    capabilities: tuple[PlainText, ...] = Field(
        (), description="Capabilities that the driver must have, such as compute. `gpu` is always one of them."
    )
    options: dict[str, Value] = Field({}, description="Options of the driver.")

    @property
    def device_request(self) -> DeviceRequest:
        """The request as the engine takes it."""
        count = -1 if self.count in (None, _ALL) else int(self.count or 0)
        wanted = (_GPU, *(each for each in self.capabilities if each != _GPU))
        return DeviceRequest(self.driver, 0 if self.device_ids else count, self.device_ids, wanted, self.options)

    @model_validator(mode="after")
    def _check_single(self) -> Self:
        if self.device_ids and self.count is not None:
            raise FieldError("device_ids", "must not be combined with count")
        return self


Gpus = Annotated[
    tuple[GpuRequest, ...],
    BeforeValidator(_requests),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": _ALL},
                {"type": "integer", "minimum": 1},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "driver": {"type": "string"},
                            "count": {"anyOf": [{"const": _ALL}, {"type": "integer", "minimum": 1}]},
                            "device_ids": {"type": "array", "items": {"type": "string"}},
                            "capabilities": {"type": "array", "items": {"type": "string"}},
                            "options": {"type": "object"},
                        },
                    },
                },
            ]
        }
    ),
]
