"""The custom resources: their types, their CRDs and the way from a body to a ModelSpec."""
