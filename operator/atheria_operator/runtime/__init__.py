"""Asynchronous loops over ports: they read, ask the domain, and write."""
