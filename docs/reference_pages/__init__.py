"""The pages of the reference, written from the code's own models, schemas, catalog and pipelines at every build."""
