"""The loops and gRPC services of the activator, over ports."""
