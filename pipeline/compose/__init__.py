"""The translation of a Compose file, or of a Procfile, into a pipeline.yaml. Pure: it reads files through a function."""
