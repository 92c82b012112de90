"""What applying a file would change, before it does."""
