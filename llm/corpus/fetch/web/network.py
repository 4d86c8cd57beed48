"""Connections to hosts that may be asked, and to no others."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Sequence

import httpcore

from llm.corpus.fetch.allowed_hosts import AllowedHosts
from llm.corpus.fetch.entries import NotFetchedError


class GuardedNetwork(httpcore.NetworkBackend):
    """Connects to public addresses, and to those that are allowed.

    A host of which one address is not public is refused as a whole: it would depend on luck which
    one is taken.
    """

    def __init__(self, allowed: AllowedHosts) -> None:
        self._allowed, self._plain = allowed, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address of a host that answers.

        Raises:
            NotFetchedError: the host has an address that is not public ("private_address").
            httpcore.ConnectError, httpcore.ConnectTimeout
        """
        addresses = _addresses(host, port)
        for address in addresses:
            if not self._allowed.allow(host, address):
                raise NotFetchedError(
                    "private_address",
                    f"{host} lies at {address}, which is not a public address; list the host in "
                    "fetch.private_hosts if it is meant",
                )
        for address in addresses[:-1]:
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return self._plain.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
        return self._plain.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Never: no URL leads there."""
        raise httpcore.ConnectError("not a network")

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._plain.sleep(seconds)


def _addresses(host: str, port: int) -> Sequence[str]:
    """Every address of a host, in the order to try them.

    Raises:
        httpcore.ConnectError: there is none.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host}: no address ({error})") from error
    return list(dict.fromkeys(str(place[0]) for *_, place in found))
