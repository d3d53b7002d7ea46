"""Where the pipeline runs and what is recorded of it."""
