"""What a caller is called: one name for its limit and its fair share, whichever protocol it speaks; pure.

A shown key says most, then a client certificate, then the address. The kinds have prefixes, so that nobody gets
another caller's name by choosing a key's name or a certificate's subject.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

SHOWN_DIGITS: Final = 16
"""Of a digest: enough to tell keys apart, and it opens nothing."""
IPV6_CALLER_BITS: Final = 64
"""A host may take any address of a network of this size."""


def key_caller(name: str, digest: bytes) -> str:
    """Of an API key: its name in the file, or the beginning of its digest. Keys of one name are one caller."""
    return f"key:{name or digest.hex()[:SHOWN_DIGITS]}"


def certificate_caller(*, uris: Sequence[str], dns: Sequence[str], common_name: str) -> str:
    """Of a verified client certificate: its first URI (SPIFFE), else its first DNS name, else its common name."""
    return f"certificate:{next(iter((*uris, *dns)), common_name)}"


def address_caller(host: str) -> str:
    """Of a peer without either, by its IP address without the port; `host` may be empty for a local socket."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return f"address:{host}"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return f"address:{address.ipv4_mapped}"
        return f"address:{ipaddress.ip_network((int(address), IPV6_CALLER_BITS), strict=False)}"
    return f"address:{address}"
