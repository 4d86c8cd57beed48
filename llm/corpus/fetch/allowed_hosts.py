"""Which addresses of the Internet Protocol may be asked.

A page, a redirect or a name server can name any address, also those that only this machine and its
neighbours are meant to reach (a router, the metadata service of a cloud at 169.254.169.254). So the
address is looked at when a connection is made: every redirect passes here, and what a name meant at
an earlier look-up does not count.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from llm.errors import ExpectedError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits


class AllowedHostError(ExpectedError, ValueError):
    """What is said to be allowed is no host, address or network."""


class AllowedHosts:
    """Hosts that may lie at addresses that are not public.

    Args:
        listed: hosts as URLs name them (a name, an address), and networks such as "10.0.0.0/8",
            in which any host may lie. An address alone allows no other host that turns out to be
            there.

    Raises:
        AllowedHostError: one is none of these.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        self._hosts: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for text in listed:
            try:
                if "/" in text:
                    self._networks.append(ipaddress.ip_network(text, strict=False))
                else:
                    self._hosts.add(_host(text))
            except ValueError:
                raise AllowedHostError(
                    f"{text!r} is neither a host's name, nor an address, nor a network such as "
                    "10.0.0.0/8; leave scheme, port and path out"
                ) from None

    def allow(self, host: str, address: str) -> bool:
        """Whether a host may be asked that turned out to lie at this address."""
        found = ipaddress.ip_address(address.partition("%")[0])
        if is_public(found) or host.lower().strip("[]").rstrip(".") in self._hosts:
            return True
        return any(it in network for network in self._networks for it in (found, _carried(found)))


def _host(text: str) -> str:
    """A name or an address, as it is compared.

    Raises:
        ValueError: it is neither.
    """
    bare = text.strip("[]").rstrip(".").lower()
    if ":" in bare:
        return str(ipaddress.ip_address(bare))
    if not bare or any(character in bare for character in "@?# "):
        raise ValueError(text)
    return bare


def is_public(address: _Address) -> bool:
    """Whether an address is one of the Internet: not private, shared, loopback, link-local,
    reserved or multicast (the IANA special-purpose registries), nor one that carries such an IPv4
    address inside (mapped, 6to4, Teredo, NAT64)."""
    inner = _carried(address)
    return inner.is_global and not inner.is_multicast


def _carried(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address stands for, else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
