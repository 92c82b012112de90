"""From the pure description to Envoy's resources, and the order in which Envoy is told of them."""
