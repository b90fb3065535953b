"""The section `build`, from the buildspec of a CodeBuild project."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.base.errors import ConfigError
from pipeline.stacks.codepipeline.docker_command import (
    DockerCommand,
    has_only_simple_options,
    parse_build,
    parse_run,
    unknown_build_options,
)
from pipeline.stacks.codepipeline.notes import Notes
from pipeline.stacks.codepipeline.resources import members, text_of, texts
from pipeline.stacks.codepipeline.shell import expanded, simple_commands, without_assignments

_PHASES = ("install", "pre_build", "build", "post_build")
# Commands that only prepare or report what Penstock does itself.
_QUIET = frozenset({"cat", "date", "echo", "env", "export", "ls", "printenv", "printf", "pwd", "set", "true"})
_QUIET_DOCKER = frozenset({"images", "info", "login", "logout", "push", "tag", "version"})
_KNOWN = {"-f", "--file", "--build-arg", "--target", "--platform"}


@dataclass
class BuildSection:
    """The section `build` as it is made. `tags` are the names of the image, which tests use."""

    notes: Notes
    variables: dict[str, str]
    folder: str = "."
    built: bool = False
    section: dict[str, Any] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)

    def read(self, spec: dict[str, Any]) -> None:
        """Add what a buildspec has."""
        environment = members(spec.get("env"))
        self.variables = {
            **{name: text_of(value) for name, value in members(environment.get("variables")).items()},
            **self.variables,
        }
        for key in ("parameter-store", "secrets-manager"):
            for name in members(environment.get(key)):
                self.notes.add(f"the buildspec's variable {name} from {key} is left out")
        if spec.get("reports"):
            self.notes.add("the buildspec's reports are left out: see build.test.reports")
        for phase, words in _commands(spec):
            self._command(phase, words)

    def _command(self, phase: str, words: tuple[str, ...]) -> None:
        command = without_assignments(tuple(expanded(word, self.variables) for word in words))
        if not command or command[0] in _QUIET or "ecr get-login" in command[0]:
            return
        if command[0] == "cd" and len(command) == 2:
            self.folder = posixpath.normpath(posixpath.join(self.folder, command[1]))
        elif (build := parse_build(command)) is not None:
            self._build(build, " ".join(words))
        elif (run := parse_run(command)) is not None and run.words and run.words[0] in self.tags:
            self._test(run, " ".join(words))
        elif not _is_quiet(command):
            self.notes.add(f"{phase}: `{' '.join(words)}` is left out: move it into the Dockerfile, or into build.test")

    def _build(self, command: DockerCommand, text: str) -> None:
        if self.built:
            self.notes.add(f"`{text}` is left out: a pipeline builds one image")
            return
        self.built = True
        self.tags.update(command.values("-t", "--tag"))
        context = posixpath.normpath(posixpath.join(self.folder, command.words[-1] if command.words else "."))
        file = command.value("-f", "--file")
        if context.startswith(("..", "/")) or "$" in context:
            self.notes.add(f"the context {context} of `{text}` is not in the repository: build.context is left out")
            context = "."
        if context != ".":
            self.section["context"] = context
        if file is not None:
            dockerfile = posixpath.relpath(posixpath.join(self.folder, file), context)
            if dockerfile.startswith("..") or "$" in dockerfile:
                self.notes.add(f"the Dockerfile {file} is not in the context {context}: move it there")
            elif dockerfile != "Dockerfile":
                self.section["dockerfile"] = dockerfile
        if (target := command.value("--target")) is not None:
            self.section["target"] = target
        if (platform := command.value("--platform")) is not None:
            self.section["platforms"] = platform.split(",")
        self._arguments(command.values("--build-arg"))
        for name in unknown_build_options(command, _KNOWN):
            self.notes.add(f"the option {name} of `{text}` is left out")

    def _arguments(self, given: list[str]) -> None:
        args: dict[str, str] = {}
        for argument in given:
            name, equals, value = argument.partition("=")
            if not equals:
                value = self.variables.get(name, f"${name}")
            if "$" in value:
                self.notes.add(f"the build argument {name} is left out: its value is made by the build")
            else:
                args[name] = value
        if args:
            self.section["args"] = args

    def _test(self, command: DockerCommand, text: str) -> None:
        if "test" in self.section or not has_only_simple_options(command) or len(command.words) < 2:
            self.notes.add(f"`{text}` is left out: see build.test")
            return
        test: dict[str, Any] = {"command": command.words[1:]}
        pairs = [pair.partition("=") for pair in command.values("-e", "--env")]
        if environment := {name: value for name, equals, value in pairs if equals and "$" not in value}:
            test["environment"] = environment
        self.section["test"] = test


def _is_quiet(command: tuple[str, ...]) -> bool:
    if command[0] == "docker":
        return len(command) > 1 and command[1] in _QUIET_DOCKER
    return command[:2] == ("aws", "ecr") or (command[:2] == ("pip", "install") and "awscli" in command)


def _commands(spec: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    phases = members(spec.get("phases"))
    for phase in _PHASES:
        given = members(phases.get(phase)).get("commands")
        scripts = [given] if isinstance(given, str) else texts(given)
        for script in scripts:
            for words in simple_commands(script):
                yield phase, words


def parse_buildspec(text: str, source: str) -> dict[str, Any]:
    """Return a buildspec, which is YAML. Raises `ConfigError`."""
    try:
        found = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        detail = str(error).splitlines()[0] if str(error) else "nested too deeply"
        raise ConfigError(f"{source} is not valid YAML: {detail}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{source} must be a mapping with phases")
    return found
