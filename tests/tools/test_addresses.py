"""Which addresses are public, and which hosts an allow-list has."""

import ipaddress

import pytest

from greenroom.messages.core.errors import DefinitionError
from greenroom.tools.addresses import allowed_hosts, is_allowed, is_public, normal_host


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("255.255.255.255", "192.0.2.1", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1"),
        *("fec0::1", "100::1", "5f00::1", "64:ff9b:1::808:808", "::127.0.0.1", "::ffff:0:7f00:1", "198.18.0.1"),
        "::ffff:127.0.0.1",  # IPv4 inside IPv6
        "::ffff:169.254.169.254",
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "64:ff9b::7f00:1",  # NAT64 of 127.0.0.1
        "64:ff9b::a9fe:a9fe",  # NAT64 of 169.254.169.254
    ],
)
def test_what_is_not_of_the_public_internet_is_refused(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address):
    assert is_public(ipaddress.ip_address(address))


def test_hosts_are_compared_in_one_form():
    hosts = allowed_hosts("tool `t`", ["Example.COM", "*.bücher.example", "127.0.0.1"])
    assert is_allowed(normal_host("EXAMPLE.com."), hosts)
    assert is_allowed(normal_host("www.bücher.example"), hosts)
    assert is_allowed("127.0.0.1", hosts)
    for other in (
        "www.example.com",
        "notexample.com",
        "example.com.evil.example",
        "xn--bcher-kva.example",
        "127.0.0.2",
    ):
        assert not is_allowed(normal_host(other), hosts), other


@pytest.mark.parametrize(
    "hosts", [[], "example.com", ["https://example.com"], ["example.com:80"], [""], ["*."], ["a b"]]
)
def test_a_list_that_names_no_hosts_is_refused_where_the_tool_is_made(hosts):
    with pytest.raises(DefinitionError, match="tool `t`"):
        allowed_hosts("tool `t`", hosts)
