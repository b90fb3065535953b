"""A commit on its way into service: Source, Build, Deploy."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace

from pipeline.api import Checkout, Image, NothingToDo, Source, StageContext, Wanted
from pipeline.base.errors import ConfigError
from pipeline.config.load import Configuration
from pipeline.config.stages import find_stage
from pipeline.runner.commit_configuration import adopt_commit_file, check_policy, with_parameters
from pipeline.runner.context import PipelineContext
from pipeline.runner.stage_runner import StageRunner
from pipeline.runner.stages import check_deployer, load_builder, load_deployer, load_source
from pipeline.runner.submission import emit_run_state
from pipeline.store.records import Run


class Delivery:
    """One run of a commit."""

    def __init__(self, pipeline_context: PipelineContext, run: Run, stages: StageRunner) -> None:
        self._pipeline_context = pipeline_context
        self._run = run
        self._stages = stages

    def deliver(self, context: StageContext) -> NothingToDo | None:
        """Put the commit into service, or return why there is nothing to do. Raises what a stage raises."""
        context = replace(context, options=self._run.options)
        configuration, found = self._configure_and_find(context)
        if isinstance(found, NothingToDo):
            return found
        context = replace(context, configuration=configuration)
        image = self._stages.run(context, "build", lambda context: self._build(context, found))
        self._stages.run(
            context, "deploy", lambda context: load_deployer(context).deploy(context, found.revision, image)
        )
        return None

    def _build(self, context: StageContext, found: Checkout) -> Image:
        if self._run.options.rebuild or self._run.options.no_cache:
            context.store.images.clear_cache(self._run.pipeline)
        return load_builder(context.configuration).build(context, found)

    def _configure_and_find(self, context: StageContext) -> tuple[Configuration, Checkout | NothingToDo]:
        """Return the commit and the configuration that counts for it: its own, or the served one."""
        options, wanted = self._run.options, Wanted(self._run.requested, self._run.sha, self._run.ref)
        if options.configuration == "commit":
            return self._stages.run(context, "source", lambda context: self._adopt_and_find(context, wanted))
        configuration = with_parameters(self._pipeline_context, context.configuration, options.parameters)
        context = replace(context, configuration=configuration)
        # An error in the served file is raised before the run waits for its turn.
        wanted, source = self._prepare(context, wanted), load_source(configuration)
        # Its import takes longer than git's programs, for which Source waits.
        threading.Thread(target=_import_builder, args=(configuration,), name="import", daemon=True).start()
        return configuration, self._stages.run(context, "source", lambda context: self._find(context, source, wanted))

    def _adopt_and_find(self, context: StageContext, wanted: Wanted) -> tuple[Configuration, Checkout | NothingToDo]:
        source, parameters = load_source(context.configuration), self._run.options.parameters
        configuration = adopt_commit_file(self._pipeline_context, context, source, wanted, parameters)
        context = replace(context, configuration=configuration)
        found = self._find(context, source, self._prepare(context, wanted))
        check_policy(context, self._pipeline_context.configuration, found.revision.ref, self._run.trigger)
        return configuration, found

    def _prepare(self, context: StageContext, wanted: Wanted) -> Wanted:
        """Raise what would stop the deployment later. Force the run if the active release is configured differently."""
        check_deployer(context)
        deployer = load_deployer(context)
        deployer.preflight(context)
        return replace(wanted, force=self._run.options.is_fresh or not deployer.is_current(context))

    def _find(self, context: StageContext, source: Source, wanted: Wanted) -> Checkout | NothingToDo:
        found = source.find(context, wanted)
        if isinstance(found, NothingToDo):
            context.report(found.reason)
        revision = found.revision
        superseded = context.store.queue.set_commit(
            self._run.pipeline,
            self._run.number,
            sha=revision.sha,
            ref=revision.ref,
            author=revision.author,
            subject=revision.subject,
            mode=self._pipeline_context.configuration.pipeline.execution_mode,
        )
        for run in superseded:
            emit_run_state(self._pipeline_context, run)
        return found


def _import_builder(configuration: Configuration) -> None:
    """Import the Build stage. Build raises the error of a stage that is not installed."""
    with suppress(ConfigError):
        find_stage("build", configuration.pipeline.build.uses)
