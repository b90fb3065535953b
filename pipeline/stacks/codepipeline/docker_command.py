"""The options of `docker build` and `docker run`."""

from __future__ import annotations

from dataclasses import dataclass, field

# Options of `docker build` with a value.
_BUILD_VALUES = frozenset(
    {
        "--add-host",
        "--allow",
        "--annotation",
        "--attest",
        "--build-arg",
        "--build-context",
        "--builder",
        "--cache-from",
        "--cache-to",
        "--file",
        "--iidfile",
        "--label",
        "--memory",
        "--metadata-file",
        "--network",
        "--no-cache-filter",
        "--output",
        "--platform",
        "--progress",
        "--provenance",
        "--sbom",
        "--secret",
        "--shm-size",
        "--ssh",
        "--tag",
        "--target",
        "--ulimit",
        "-f",
        "-m",
        "-o",
        "-t",
    }
)
_BUILD_IGNORED = frozenset(
    {
        "--cache-from",
        "--cache-to",
        "--force-rm",
        "--iidfile",
        "--label",
        "--load",
        "--metadata-file",
        "--no-cache",
        "--progress",
        "--provenance",
        "--pull",
        "--push",
        "--quiet",
        "--rm",
        "--tag",
        "-q",
        "-t",
    }
)
_RUN_VALUES = frozenset(
    {
        "--cpus",
        "--entrypoint",
        "--env",
        "--env-file",
        "--link",
        "--memory",
        "--name",
        "--network",
        "--publish",
        "--user",
        "--volume",
        "--workdir",
        "-e",
        "-m",
        "-p",
        "-u",
        "-v",
        "-w",
    }
)
_RUN_IGNORED = frozenset({"--rm", "-i", "-t", "-it", "-ti", "--interactive", "--tty", "--name"})


@dataclass
class DockerCommand:
    """Options by their names, each with its values, and what follows them."""

    options: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def value(self, *names: str) -> str | None:
        """Return the last value of an option."""
        values = [value for name in names for value in self.options.get(name, [])]
        return values[-1] if values else None

    def values(self, *names: str) -> list[str]:
        """Return all values of an option."""
        return [value for name in names for value in self.options.get(name, [])]


def parse_build(words: tuple[str, ...]) -> DockerCommand | None:
    """Return the command if it is `docker build`, `docker buildx build` or `docker image build`."""
    for start in (("docker", "build"), ("docker", "buildx", "build"), ("docker", "image", "build")):
        if words[: len(start)] == start:
            return _parsed(words[len(start) :], _BUILD_VALUES, stop=False)
    return None


def parse_run(words: tuple[str, ...]) -> DockerCommand | None:
    """Return the command if it is `docker run`. Its words are the image and the command in it."""
    return _parsed(words[2:], _RUN_VALUES, stop=True) if words[:2] == ("docker", "run") else None


def unknown_build_options(command: DockerCommand, known: set[str]) -> list[str]:
    """Return the options of a build that are not carried over, without those that only change how it is made."""
    return [name for name in command.options if name not in _BUILD_IGNORED | known]


def has_only_simple_options(command: DockerCommand) -> bool:
    """Return whether a run has no options that tests of an image do not have."""
    return set(command.options) <= _RUN_IGNORED | {"-e", "--env"}


def _parsed(words: tuple[str, ...], with_value: frozenset[str], *, stop: bool) -> DockerCommand:
    command = DockerCommand()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            command.words.append(word)
            if stop:
                command.words += rest
                break
            continue
        name, equals, value = word.partition("=")
        if not equals and name in with_value and rest:
            value = rest.pop(0)
        command.options.setdefault(name, []).append(value)
    return command
