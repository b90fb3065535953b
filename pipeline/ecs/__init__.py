"""Services of ECS as pipelines of this machine, and pipelines that stacks make.

The mapping. A service is a pipeline without a repository:

- Its name is `ecs-…`, computed from owner, cluster and service. Its wanted state is a record in `aws/ecs.json`, from
  which its configuration is made as a pipeline's is from pipeline.yaml.
- A revision of a task definition is its commit, and one release. Source finds the revision, Build its image, which is
  looked up once for each revision. Deploy is that of pipelines, unchanged.
- A change of task definition, desired count or settings is one run in the pipeline's queue. The run's outcome is that
  of the change. Only the process with the pipeline's lock works on it: the daemon, else the command.
- The target group belongs to whoever made it. The service registers its own containers there, and touches no other.
- Recovery and repair are those of pipelines. So a run that a crash has cut short is undone and started again, and the
  daemon replaces containers that end.
- The record is written before the run is queued, and the number of the run afterwards. A crash in between makes one
  more run, never a container more.

A pipeline of a stack (`StackPipeline`) has a record beside those of services, and changes in the same way. Its stages
are those of its own pipeline.yaml, which is part of the record and also written to a file, for commands.
"""
