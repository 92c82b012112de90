"""A real single-node Kubernetes on a bare Linux machine, for the demo and the end-to-end tests."""
