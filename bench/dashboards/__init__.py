"""A real run of all parts under a real Prometheus, to ask what every panel of the dashboards shows."""
