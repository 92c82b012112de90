"""The edges of the activator: Kubernetes, Envoy's admin interface, the operator's demand sink, sockets."""
