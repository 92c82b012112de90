"""What the status of an AtheriaModel says."""
