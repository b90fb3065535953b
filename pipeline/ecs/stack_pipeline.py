"""A pipeline that a stack has made, in place of one whose pipeline.yaml a user keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.errors import ConfigError, StoreFault
from pipeline.base.files import make_folder, write_atomically
from pipeline.base.home import Home
from pipeline.base.remote_url import is_url
from pipeline.config.document import read_document
from pipeline.config.load import CommittedFile, Configuration, load, make_absolute
from pipeline.config.models import SecretSource


@dataclass(frozen=True)
class StackPipeline:
    """A pipeline of a stack. Its name is unique in the home.

    `wanted` is the text of its pipeline.yaml, and `properties` are those of the template. `run` is the number of the
    run that brings it about, None before that is queued. `deleting`: it is being taken down.
    """

    owner: str
    stack: str
    pipeline: str
    token: str
    wanted: str
    properties: Mapping[str, Any]
    run: int | None = None
    deleting: bool = False

    @property
    def name(self) -> str:
        """The name of the pipeline, for messages."""
        return self.pipeline

    @property
    def arn(self) -> str:
        """The physical id, which is the name of the pipeline."""
        return self.pipeline

    def is_as_wanted(self, other: object) -> bool:
        """Return whether a run of this record is one of the other, too."""
        return isinstance(other, StackPipeline) and (self.wanted, self.deleting) == (other.wanted, other.deleting)

    def file(self, home: Home) -> Path:
        """Return its pipeline.yaml, which commands read."""
        return home.stack_pipelines / f"{self.pipeline}.yaml"

    def write_file(self, home: Home) -> None:
        """Write its pipeline.yaml, unless it is as wanted. Raises `StoreFault`."""
        file = self.file(home)
        try:
            if not file.exists() or file.read_text() != self.wanted:
                make_folder(file.parent)
                write_atomically(file, self.wanted)
        except (OSError, ValueError) as error:
            raise StoreFault(f"cannot write {file}: {error}") from error

    def actual_properties(self, home: Home) -> Mapping[str, Any]:
        """Return the properties with the keys of its pipeline.yaml that are not as wanted any more."""
        wanted = json.loads(self.wanted)
        try:
            actual = read_document(self.file(home)).data
        except ConfigError:
            return self.properties
        changed = {key: value for key, value in actual.items() if wanted.get(key) != value}
        kept = {key: value for key, value in self.properties.items() if key in actual}
        return {**kept, **changed}


def pipeline_text(properties: Mapping[str, Any], name: str, folder: str | None) -> str:
    """Return the pipeline.yaml for the properties of a template. Relative paths are those of the template's folder.

    The text is JSON, which is YAML too, so that text stays text. Raises `ConfigError` for a relative path without a
    folder.
    """
    data = json.loads(json.dumps({**properties, "name": name}))
    source = data.setdefault("source", {})
    if isinstance(source, dict) and source.get("uses", "git") == "git":
        source["repository"] = _repository(source.get("repository", "."), folder)
    secrets = data.get("secrets")
    if isinstance(secrets, dict) and isinstance(secrets.get("file"), str):
        secrets["file"] = str(_place(secrets["file"], "secrets/file", folder))
    if folder is not None:
        make_absolute(data.get("balancer"), Path(folder))
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def pipeline_configuration(home: Home, wanted: StackPipeline) -> Configuration:
    """Return the configuration. Raises `ConfigError` in CloudFormation's form, with every mistake."""
    try:
        return load(
            wanted.file(home),
            committed=CommittedFile("", wanted.wanted.encode()),
            secrets_file=_secrets_file(json.loads(wanted.wanted)),
        )
    except ConfigError as error:
        raise _in_the_template(error) from None


def _repository(value: Any, folder: str | None) -> Any:
    return value if not isinstance(value, str) or is_url(value) else str(_place(value, "source/repository", folder))


def _place(path: str, key: str, folder: str | None) -> Path:
    expanded = Path(path).expanduser()
    if folder is None and not expanded.is_absolute():
        raise ConfigError(
            f"Properties validation failed: #/{key}: {path} is relative to the template's file, and there is none",
            hint="write an absolute path or a URL, or use `pipeline stack` with the file",
        )
    return Path(folder or "/") / expanded


def _secrets_file(data: Mapping[str, Any]) -> SecretSource | None:
    section = data.get("secrets")
    file = section.get("file") if isinstance(section, dict) else None
    return SecretSource(file=file) if isinstance(file, str) else None


def _in_the_template(error: ConfigError) -> ConfigError:
    """Return an error whose places are those in the properties, instead of lines of a file that nobody has written."""
    if not error.problems:
        return error
    places = []
    for problem in error.problems:
        path = problem.path.replace("[", "/").replace("]", "").replace(".", "/")
        hint = f" ({problem.hint})" if problem.hint else ""
        places.append(f"#/{path}: {problem.reason}{hint}")
    return ConfigError("Properties validation failed: " + "; ".join(places))
