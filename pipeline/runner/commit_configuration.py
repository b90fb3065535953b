"""The configuration of a run: the pipeline.yaml of its own commit, or the served one with parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.api import Source, StageContext, Wanted
from pipeline.base.errors import ConfigError
from pipeline.base.remote_url import RemoteUrl
from pipeline.config.load import CommittedFile, Configuration, load
from pipeline.config.policy import Readable
from pipeline.config.policy_file import read_policy
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.store.records import Trigger


def adopt_commit_file(
    pipeline_context: PipelineContext,
    context: StageContext,
    source: Source,
    wanted: Wanted,
    parameters: Mapping[str, str] | None,
) -> Configuration:
    """Return the configuration in the commit's pipeline.yaml, or the served one if the commit has none.

    The served one also counts for the pipeline of a stack, whose template decides.
    """
    if context.configuration.path.resolve().parent == context.home.stack_pipelines.resolve():
        return with_parameters(pipeline_context, context.configuration, parameters)
    found = source.pipeline_file(context, wanted)
    if found is None:
        here = context.configuration.path
        text = f"the commit has no pipeline.yaml, using {here}"
        context.events.emit(EventKind.SOURCE_CONFIGURATION, text)
        return context.configuration
    values = {**pipeline_context.parameters, **(parameters or {})}
    configuration = merge_commit_config(context.configuration, found, values, _readable(context))
    # The secrets that the commit names are masked from here on too.
    pipeline_context.configuration.secrets.merge(configuration.secrets)
    return configuration


def check_policy(context: StageContext, served: Configuration, ref: str, trigger: Trigger) -> None:
    """Raise `ConfigError` if the commit's pipeline.yaml asks for what the policy of the pipeline does not allow.

    `served` is the configuration in the served file. `ref` is the branch, tag or commit that is run.
    """
    configuration = context.configuration
    path = context.home.policy(configuration.pipeline.name)
    policy, wanted = read_policy(path), configuration.pipeline
    objections = policy.objections(wanted, configuration.secret_names, ref, trigger, served.pipeline)
    if first := next(objections, None):
        # Without a policy, the served file decides.
        has_policy = path.exists()
        raise ConfigError(
            f"{path if has_policy else served.path} does not allow the pipeline.yaml of this commit: {first}",
            hint=None if has_policy else f"write it in {served.path} too, or allow it in a policy: {path}",
        )


def _readable(context: StageContext) -> Readable:
    """Return what a commit may read of the environment: what the served file reads, and what the policy lists.

    If the policy lists secrets, it decides about them, once the ref of the run is known.
    """
    served = context.configuration
    path = context.home.policy(served.pipeline.name)
    policy = read_policy(path)
    return Readable(
        served.variables.union(policy.environment),
        f"add it to environment in {path}, or use it in {served.path}",
        served.secret_names if policy.secrets is None else None,
        f"add it to secrets in {path} or to secrets.file of {served.path}, or use it there",
    )


def with_parameters(
    pipeline_context: PipelineContext, configuration: Configuration, parameters: Mapping[str, str] | None
) -> Configuration:
    """Return the served configuration with the parameters of a run."""
    if not parameters:
        return configuration
    found = load(configuration.path, {**pipeline_context.parameters, **parameters})
    pipeline_context.configuration.secrets.merge(found.secrets)
    return found


def merge_commit_config(
    served: Configuration, committed: CommittedFile, parameters: Mapping[str, str], readable: Readable | None = None
) -> Configuration:
    """Return the configuration in a commit.

    The Source stage, its options, its repository, `secrets.file` and the base of relative paths come from the served
    file.

    Raises `ConfigError` if it is invalid or of another pipeline.
    """
    found = load(served.path, parameters, committed=committed, readable=readable, secrets_file=served.pipeline.secrets)
    name = served.pipeline.name
    if found.pipeline.name != name:
        raise ConfigError(
            f"{committed.name} is the pipeline {found.pipeline.name}, and this is {name}",
            hint=f"name it {name} there, or set source.file in {served.path} to the right file",
        )
    found.secrets.hide(RemoteUrl.secrets_in(served.pipeline.source.repository))
    # A commit must not choose the source of later commits.
    kept = {key: getattr(served.pipeline.source, key) for key in ("uses", "options", "repository")}
    source = found.pipeline.source.model_copy(update=kept)
    kept_parts = {"source": source, "secrets": served.pipeline.secrets}
    return replace(found, pipeline=found.pipeline.model_copy(update=kept_parts))
