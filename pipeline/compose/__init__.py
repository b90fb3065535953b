"""The translation of a Compose file, or of a Procfile, into a pipeline.yaml. It reads files by a function."""
