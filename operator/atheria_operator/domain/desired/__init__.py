"""The objects that an AtheriaModel wants to exist, one builder per kind, and the plan to get there."""
