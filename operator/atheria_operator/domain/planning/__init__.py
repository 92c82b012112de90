"""On what a model runs: does it fit, which profile, which nodes."""
