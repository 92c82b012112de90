"""One caller has one name, and no caller can take another one's."""

from __future__ import annotations

import pytest

from atheria_server.core.callers import address_caller, certificate_caller, key_caller


def test_a_key_is_called_by_its_name_or_a_piece_of_its_digest() -> None:
    assert key_caller("the notebook", bytes(32)) == "key:the notebook"
    assert key_caller("", bytes(range(32))) == "key:0001020304050607"


@pytest.mark.parametrize(
    ("uris", "dns", "name"),
    [
        (["spiffe://a/b"], ["b.example"], "certificate:spiffe://a/b"),
        ([], ["b.example", "c.example"], "certificate:b.example"),
        ([], [], "certificate:somebody"),
    ],
)
def test_a_certificate_is_called_by_its_most_telling_name(uris: list[str], dns: list[str], name: str) -> None:
    assert certificate_caller(uris=uris, dns=dns, common_name="somebody") == name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("10.0.0.1", "address:10.0.0.1"),
        ("::ffff:10.0.0.1", "address:10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
        ("2001:db8:1:2::7", "address:2001:db8:1:2::/64"),
        ("fe80::1%eth0", "address:fe80::/64"),
        ("", "address:"),
    ],
)
def test_an_address_is_called_by_its_host_and_ipv6_by_its_network(host: str, name: str) -> None:
    assert address_caller(host) == name


def test_the_kinds_of_names_never_meet() -> None:
    same = "10.0.0.1"
    names = {
        key_caller(same, b""),
        certificate_caller(uris=[], dns=[same], common_name=""),
        address_caller(same),
    }
    assert len(names) == 3
