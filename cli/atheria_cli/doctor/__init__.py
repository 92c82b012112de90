"""Whether a cluster is ready for models, with a remedy for whatever is not."""
