"""Hosts and URLs as people write them: checked without ever repeating what may hold a password."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_HIGHEST_PORT = 65_535
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*):(?P<port>[^:]*)")


def check_host(host: str, schemes: Collection[str] = ()) -> str:
    """Return `host` as it is when it is one, with or without a port; or a whole address with one of `schemes`.

    Raises ValueError, whose text does not repeat a login that may be in it.
    """
    scheme = _SCHEME.match(host)
    if "@" in host:
        raise ValueError("holds an @: set username and password on their own, or the whole as URL")
    if scheme is not None and scheme[1] not in schemes:
        raise ValueError(f"is a URL ({scheme[0]}…): set it as URL, or give the host alone")
    if not host or re.search(r"\s", host):
        raise ValueError("is empty or holds spaces; give a name or an address, as in localhost or db:5432")
    if scheme is None:
        split_host(host, 1)
    return host


def check_hosts(hosts: str) -> str:
    """Return one host or several with commas between, each checked as `check_host` does. Raises ValueError."""
    return ",".join(check_host(host.strip()) for host in hosts.split(","))


def split_host(host: str, port: int) -> tuple[str, int]:
    """Return host and port of "host", "host:port", "[address]" or "[address]:port"; `port` where it names none.

    An IPv6 address comes back in brackets, as URLs want it. Raises ValueError for a port that is none.
    """
    match = _HOST_PORT.fullmatch(host)
    if match is None:
        # More than one colon: a bare IPv6 address, unless it is the socket's folder or a list of hosts.
        bare = ":" in host and not host.startswith(("[", "/")) and "," not in host
        return (f"[{host}]" if bare else host), port
    if not (match["port"].isascii() and match["port"].isdigit() and 1 <= int(match["port"]) <= _HIGHEST_PORT):
        raise ValueError(f"has no port from 1 to {_HIGHEST_PORT} after its colon")
    return match["host"], int(match["port"])


def check_url(url: str, schemes: Collection[str]) -> None:
    """Raise ValueError unless `url` has one of `schemes`; the text repeats nothing but its scheme."""
    allowed = ", ".join(f"{scheme}://" for scheme in schemes)
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise ValueError(f"is no URL: it has to begin with {allowed}")
    if scheme[1] not in schemes:
        raise ValueError(f"begins with {scheme[0]}: it has to begin with {allowed}")
    place = re.split(r"[?#]", url[scheme.end() :], maxsplit=1)[0]
    authority = place.partition("/")[0]
    if "@" in place and "@" not in authority:
        raise ValueError("has a / in its username or password: percent-encode it (%2F)")
    for host in authority.rpartition("@")[2].split(","):
        try:
            split_host(host, 1)
        except ValueError as error:
            raise ValueError(f"{error}; percent-encode what username and password hold of : / ? # @") from None


def host_of(url: str) -> str:
    """Return the host, or the hosts, of `url` with their ports as written."""
    start, end = _host_span(url)
    return url[start:end]


def each_host(url: str) -> Iterator[str]:
    """Yield `url` once for each of its hosts, which have commas between them."""
    start, end = _host_span(url)
    yield from (f"{url[:start]}{host.strip()}{url[end:]}" for host in url[start:end].split(","))


def _host_span(url: str) -> tuple[int, int]:
    authority = url.find("://") + len("://")
    ends = re.search(r"[/?#]", url[authority:])
    end = authority + ends.start() if ends else len(url)
    return max(authority, url.rfind("@", authority, end) + 1), end


def without_password(url: str) -> str:
    """Return scheme, username, host and path of `url`: no password and no parameters, however badly it is written."""
    scheme = _SCHEME.match(url)
    rest = url[scheme.end() :] if scheme else url
    # A password may hold /, ? or @ that should have been encoded: only what is after the last @ is safe.
    login, at, place = rest.rpartition("@")
    return f"{scheme[0] if scheme else ''}{login.partition(':')[0]}{at}{re.split(r'[?#]', place, maxsplit=1)[0]}"


def passwords_in(url: str) -> Iterator[str]:
    """Yield each password in `url`, as written and decoded."""
    login = url.partition("://")[2].rpartition("@")[0]
    parameters = parse_qsl(url.partition("?")[2])
    for password in (login.partition(":")[2], *(value for name, value in parameters if "pass" in name.lower())):
        yield password
        yield unquote(password)


def with_query(url: str, name: str, value: str) -> str:
    """Return `url` with the parameter `name`, unless it has one already."""
    query = url.partition("?")[2]
    if any(known == name for known, _ in parse_qsl(query, keep_blank_values=True)):
        return url
    return f"{url}{'&' if query else '' if url.endswith('?') else '?'}{name}={value}"
