"""What the cluster says of models: lists, details, live tables, logs."""
