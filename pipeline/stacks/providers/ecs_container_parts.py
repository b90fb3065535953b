"""Parts of a container in a task definition."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pipeline.base.errors import ConfigError
from pipeline.ecs.task_secrets import parameter_names
from pipeline.stacks.provider import Properties

# A form of mount's own, which means that nothing is asked for.
_DEFAULTS = "defaults"


class Tmpfs(Properties):
    """A folder in memory. `size` is in MiB."""

    container_path: str
    size: int = Field(ge=1)
    mount_options: list[str] = Field(default_factory=list)

    @property
    def mount(self) -> str:
        """The folder in Compose's form."""
        options = [f"size={self.size}m", *(each for each in self.mount_options if each != _DEFAULTS)]
        return f"{self.container_path}:{','.join(options)}"


class LinuxParameters(Properties):
    """Settings of Linux. Sizes are in MiB."""

    init_process_enabled: bool = False
    shared_memory_size: int | None = None
    tmpfs: list[Tmpfs] = Field(default_factory=list)


class Ulimit(Properties):
    """A resource limit of each process."""

    name: str
    soft_limit: int
    hard_limit: int


class ExtraHost(Properties):
    """A name in /etc/hosts."""

    hostname: str
    ip_address: str


class Secret(Properties):
    """A variable of the environment whose value is a parameter of SSM. `value_from` is its name or its ARN."""

    name: str
    value_from: str


class SystemControl(Properties):
    """A setting of the kernel."""

    namespace: str | None = None
    value: str | None = None


class HealthCheck(Properties):
    """The check of a container. Times are in seconds."""

    command: list[str]
    interval: int = Field(30, ge=5, le=300)
    timeout: int = Field(5, ge=2, le=120)
    retries: int = Field(3, ge=1, le=10)
    start_period: int = Field(0, ge=0, le=300)

    def settings(self, container: str) -> dict[str, Any]:
        """Return the section `health_check` of `deploy`. Raises `ConfigError` for a command that is none of ECS."""
        kind, *rest = self.command or [""]
        if kind == "CMD-SHELL" and len(rest) == 1:
            rest = ["/bin/sh", "-c", *rest]
        elif kind != "CMD" or not rest:
            raise ConfigError(
                f"container {container}: HealthCheck: the command must begin with CMD or CMD-SHELL, got {self.command}",
                hint='write ["CMD-SHELL", "curl -f http://localhost/ || exit 1"]',
            )
        return {
            "command": rest,
            "interval": f"{self.interval}s",
            "timeout": f"{self.timeout}s",
            "unhealthy_threshold": self.retries,
            "start_period": f"{self.start_period}s",
        }


def check_secret(container: str, secret: Secret) -> None:
    """Raise `ConfigError` for a secret that is in no store of this machine."""
    if secret.value_from.startswith("arn:") and not parameter_names(secret.value_from):
        raise ConfigError(
            f"container {container}: Secrets: {secret.value_from} is no parameter of SSM, and this machine has no "
            "other store of secrets",
            hint="keep the value with `pipeline aws parameters put` or `aws ssm put-parameter`, and name that",
        )
