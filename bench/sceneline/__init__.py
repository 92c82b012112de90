"""What fewer bits cost sceneline: in its weights, its activations and its cache."""
