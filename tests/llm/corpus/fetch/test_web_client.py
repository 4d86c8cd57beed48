"""A web server is asked patiently, up to an end, and never where one must not."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from llm.corpus.fetch.allowed_hosts import AllowedHostError, AllowedHosts, is_public
from llm.corpus.fetch.entries import NotFetchedError
from llm.corpus.fetch.web.client import Manners, Web, limited, retry_after
from llm.corpus.fetch.web.urls import ascii_url, shown
from tests.web_server import Reply, WebServer

MANNERS = Manners("ingot-test", ("127.0.0.1",), 5.0, 3, 0.01, 0.2)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer().running() as running:
        yield running


@pytest.fixture
def web() -> Iterator[Web]:
    client = Web(MANNERS)
    yield client
    client.close()


def get(web: Web, url: str, secret: dict[str, str] | None = None) -> bytes:
    with web.ask(url, {}, secret=secret) as answer:
        assert answer.status == 200
        return b"".join(answer.body)


def failure(web: Web, url: str) -> tuple[str, str]:
    with pytest.raises(NotFetchedError) as caught:
        get(web, url)
    return caught.value.reason, caught.value.detail


def test_a_busy_server_is_asked_again_and_given_up(server: WebServer, web: Web) -> None:
    busy = Reply(status=503, headers={"Retry-After": "0"})
    url = server.serve("/soon", busy, Reply(status=429), b"there")
    assert get(web, url) == b"there"
    assert len(server.asked) == 3
    assert server.asked[0].headers["user-agent"] == "ingot-test"
    assert failure(web, server.serve("/never", busy))[0] == "busy"
    assert len(server.asked) == 6


def test_as_long_as_the_server_asks_is_waited_but_not_longer_than_allowed(web: Web) -> None:
    assert web.wait(1, None) == 0.01
    assert web.wait(3, None) == 0.04
    assert web.wait(1, "0.1") == 0.01, "no form of Retry-After"
    assert web.wait(1, "3600") == 0.2
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 95 < retry_after(later) <= 100
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert retry_after("soon") == 0


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost:{port}/inner",
        "http://127.0.0.2:{port}/inner",
        "http://[::1]:{port}/inner",
        "http://[::ffff:127.0.0.2]:{port}/inner",
        "http://0.0.0.0:{port}/inner",
        "http://2130706434:{port}/inner",
        "http://10.0.0.1/",
    ],
)
def test_a_redirect_to_a_private_address_is_refused(
    server: WebServer, web: Web, target: str
) -> None:
    server.serve("/inner", b"secret")
    location = target.format(port=server.port)
    url = server.serve("/out", Reply(status=302, headers={"Location": location}))
    reason, detail = failure(web, url)
    assert reason == "private_address"
    assert "fetch.private_hosts" in detail
    assert server.paths() == ["/out"]


def test_redirects_are_followed_to_an_end(server: WebServer, web: Web) -> None:
    in_utf8 = "b/ü?q=1#part".encode().decode("latin-1")
    server.serve("/a", Reply(status=301, headers={"Location": in_utf8}))
    server.serve("/b/%C3%BC?q=1", b"there")
    assert get(web, f"{server.url}/a") == b"there"
    loop = server.serve("/loop", Reply(status=302, headers={"Location": "/loop"}))
    assert failure(web, loop) == ("redirects", "more than 10 redirects")
    for bad in ("file:///etc/passwd", "ftp://x.org/", "http://[oops/", "http://x.org:port/"):
        url = server.serve("/bad", Reply(status=302, headers={"Location": bad}))
        assert failure(web, url)[0] in ("redirects", "bad_url")


def test_what_logs_in_is_for_one_host(server: WebServer, web: Web) -> None:
    with WebServer().running() as other:
        there = other.serve("/there", b"there")
        url = server.serve("/here", Reply(status=302, headers={"Location": there}))
        assert get(web, url, {"Authorization": "Bearer key"}) == b"there"
        assert server.asked[0].headers["authorization"] == "Bearer key"
        assert "authorization" not in other.asked[0].headers


def test_a_body_that_breaks_off_or_never_ends(server: WebServer, web: Web) -> None:
    assert failure(web, server.serve("/cut", Reply(b"x" * 100, cut=40)))[0] == "cut_off"
    url = server.serve("/endless", Reply(b"x" * 1000, endless=True))
    with (
        web.ask(url, {}) as answer,
        pytest.raises(NotFetchedError, match="more than 5,000 bytes"),
    ):
        list(limited(answer.body, 5_000, 60, time.monotonic))
    url = server.serve("/slow", Reply(b"x" * 1000, drip=0.02))
    with web.ask(url, {}) as answer, pytest.raises(NotFetchedError, match=r"after 0\.1 s"):
        list(limited(answer.body, 5_000, 0.1, time.monotonic))


def test_who_does_not_answer_is_told(server: WebServer) -> None:
    hasty = Web(Manners("t", ("127.0.0.1",), 0.1, 1, 0.01, 0.1))
    assert failure(hasty, server.serve("/slow", Reply(b"xx", drip=0.5)))[0] == "timeout"
    assert failure(hasty, "http://127.0.0.1:1/")[0] == "no_connection"
    assert failure(hasty, "http://no-such-host.invalid/")[0] == "no_connection"
    assert failure(hasty, "http://user:word@127.0.0.1/")[0] == "bad_url"
    assert "word" not in failure(hasty, "http://user:word@127.0.0.1/")[1]
    hasty.close()


def test_which_addresses_are_public() -> None:
    inner = ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
             "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "fc00::1", "::ffff:10.0.0.1",
             "64:ff9b::a00:1", "2002:0a00:0001::1", "ff02::1"]  # fmt: skip
    assert [text for text in inner if is_public(ipaddress.ip_address(text))] == []
    for text in ("8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808", "::ffff:8.8.8.8"):
        assert is_public(ipaddress.ip_address(text)), text


def test_what_is_allowed_is_a_name_an_address_or_a_network() -> None:
    hosts = AllowedHosts(["wiki.local", "10.0.0.0/8", "fd00::1"])
    assert hosts.allow("wiki.local.", "192.168.0.1")
    assert hosts.allow("any", "10.9.9.9")
    assert hosts.allow("any", "::ffff:10.9.9.9")
    assert hosts.allow("fd00::1", "fd00::1")
    assert not hosts.allow("any", "fd00::1"), "a name that turns out to lie there"
    assert not hosts.allow("any", "192.168.0.1")
    assert hosts.allow("any", "8.8.8.8")
    for bad in ("http://wiki.local", "wiki.local:80", ""):
        with pytest.raises(AllowedHostError, match="leave scheme, port and path out"):
            AllowedHosts([bad])


def test_urls_are_sent_in_ascii_and_shown_without_secrets() -> None:
    assert ascii_url("HTTPS://Bücher.example/ü b?x=ä#z") == (
        "https://xn--bcher-kva.example/%C3%BC%20b?x=%C3%A4"
    )
    assert shown("https://me:key@x.org/a?sig=1#f") == "https://x.org/a?..."
