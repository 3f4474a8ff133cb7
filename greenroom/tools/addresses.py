"""Which hosts and addresses an HTTP tool may connect to."""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final, TypeAlias

from greenroom.messages.core.errors import DefinitionError, Fatal

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
"""Addresses whose last 32 bits are an IPv4 address that a translator connects to."""

_LOCAL_NAT64: Final = ipaddress.ip_network("64:ff9b:1::/48")
"""Addresses for translators of a site's own (RFC 8215)."""


def normal_host(host: str) -> str:
    """Return a host name in the form in which hosts are compared: ASCII, lower case, without the root's dot.

    Raises:
        ValueError: It is not a host name.
    """
    host = host.rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        name = host.encode("idna").decode("ascii") if host else ""
    if not name or any(letter.isspace() or letter in "/@:?#[]%\\" for letter in name):
        msg = f"{host!r} is not a host name"
        raise ValueError(msg)
    return name


def allowed_hosts(title: str, hosts: Sequence[str]) -> tuple[str, ...]:
    """Return the checked entries of an allow-list: host names, or ``*.`` and a name for all names below it.

    Raises:
        DefinitionError: The list is empty, or an entry is not a host name.
    """
    if isinstance(hosts, str) or not hosts:
        msg = f'{title} needs the names of the hosts that it may connect to, such as hosts=["example.com"]'
        raise DefinitionError(msg)
    try:
        return tuple(f"*.{normal_host(host[2:])}" if host.startswith("*.") else normal_host(host) for host in hosts)
    except ValueError as error:
        msg = f'{title}: {error}; an entry of hosts is a name without scheme and port, such as "example.com"'
        raise DefinitionError(msg) from error


def is_allowed(host: str, hosts: Sequence[str]) -> bool:
    """Return whether an allow-list has a host."""
    return any(host == entry or (entry.startswith("*.") and host.endswith(entry[1:])) for entry in hosts)


def resolve(host: str, port: int, *, private: bool) -> list[str]:
    """Return the addresses of a host, after a check of each of them. Blocks.

    Raises:
        Fatal: One of them is not public, unless ``private`` allows that.
        OSError: The host has no address.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    for text in addresses:
        if not private and not is_public(ipaddress.ip_address(text)):
            msg = (
                f"{host} has the address {text}, which is not public, so no connection is made; `private=True` allows "
                "such addresses"
            )
            raise Fatal(msg)
    return addresses


def is_public(address: Address) -> bool:
    """Return whether an address is one of the public internet, also the one that it carries inside."""
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    return not address.is_site_local and address not in _LOCAL_NAT64 and all(map(is_public, _inside(address)))


def _inside(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that packets to an IPv6 address may be sent on to."""
    found = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
    return [each for each in found if each is not None]
