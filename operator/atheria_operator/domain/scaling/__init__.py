"""How many replicas a model should have."""
