"""What the local cluster is built from. The Go modules beside this package pin the same versions with hashes."""

from __future__ import annotations

from typing import Final

KUBERNETES: Final = "1.35.4"
COREDNS: Final = "1.14.0"
HELM: Final = "4.3.1"
CERT_MANAGER: Final = "1.21.2"
ENVOY_GATEWAY: Final = "1.9.1"
KEDA: Final = "2.21.0"
DEBIAN_SUITE: Final = "trixie"
"""Base of the images (the Dockerfile's default base is the same suite)."""
GO_MINIMUM: Final = (1, 26)
"""Helm's module asks for it."""
