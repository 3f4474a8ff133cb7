"""``http_fetch``: a tool that reads pages of some hosts."""

import http.client
import socket
import ssl
from collections.abc import Sequence
from typing import Final, Unpack
from urllib.parse import quote, urljoin, urlsplit

from pydantic import BaseModel
from typing_extensions import override

from greenroom.messages.core.errors import DefinitionError, Fatal
from greenroom.tools.addresses import allowed_hosts, is_allowed, normal_host, resolve
from greenroom.tools.options import ToolOptions
from greenroom.version import VERSION
from greenroom.workflows.authoring.decorators import tool
from greenroom.workflows.authoring.step import Step

MOST_REDIRECTS: Final = 5
READ_TIMEOUT: Final = 15.0
"""Seconds that a connection, and each read, may take."""
TIMEOUT: Final = 30.0
"""Seconds that a whole fetch may take by default."""
_PORTS: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_KEPT: Final = "/:;=,!$&'()*+@~?%"
"""Characters of a path and a query that stay as they are."""


class WebPage(BaseModel):
    """The answer to a GET request.

    Attributes:
        url: Where it came from, after redirects.
        status: Status code, such as 200 or 404.
        content_type: The ``Content-Type`` header; empty if there was none.
        text: The body as text, in the encoding of its header or UTF-8. What cannot be decoded is replaced.
        truncated: Whether the body was longer than the limit, and is cut.
    """

    url: str
    status: int
    content_type: str = ""
    text: str = ""
    truncated: bool = False


def http_fetch(
    name: str = "fetch",
    *,
    hosts: Sequence[str],
    private: bool = False,
    ports: Sequence[int] = (),
    most_bytes: int = 1_000_000,
    **options: Unpack[ToolOptions],
) -> Step[[str], WebPage]:
    """Make a tool that fetches a URL by GET. It takes ``url`` and returns a ``WebPage``, whatever the status code.

    Only hosts of the list are asked, also after a redirect. Every address of a host is checked before each connection,
    and the connection goes to the checked address, so that a change of the name's address in between has no effect.
    Proxies of the environment are not used. Certificates are checked.

    It is no protection against the hosts of the list: what a page says may be meant to mislead a model, and a URL can
    carry data to them.

    Args:
        name: Name of the tool.
        hosts: Names of hosts, such as ``"example.com"``. ``"*.example.com"`` stands for all names below it.
        private: Whether addresses may be connected to that are not public: private, loopback and link-local ones, among
            them those of cloud metadata.
        ports: Ports that a URL may name, besides 80 for http and 443 for https.
        most_bytes: Longest body in bytes. A longer one is cut.
        options: Options of ``@tool``. ``timeout`` is 30 s by default, for all requests of a fetch together.

    Raises:
        DefinitionError: An option has an invalid value.
    """
    title = f"tool `{name}`"
    names = allowed_hosts(title, hosts)
    if most_bytes < 1:
        msg = f"{title} has most_bytes={most_bytes!r}: it is at least 1"
        raise DefinitionError(msg)

    def fetch(url: str) -> WebPage:
        """Fetch a page by its http or https URL, and return its text."""
        for _ in range(MOST_REDIRECTS + 1):
            page, target = _get(url, names, ports, most_bytes, private=private)
            if target is None:
                return page
            if url.startswith("https:") and not target.startswith("https:"):
                msg = f"{url} redirects to {target}, which is not encrypted, so it is not followed"
                raise Fatal(msg)
            url = target
        msg = f"it redirects more than {MOST_REDIRECTS} times, the last time to {url}"
        raise Fatal(msg)

    options.setdefault("timeout", TIMEOUT)
    fetch.__name__ = name
    return tool(name=name, **options)(fetch)


def _get(
    url: str, hosts: Sequence[str], ports: Sequence[int], most_bytes: int, *, private: bool
) -> tuple[WebPage, str | None]:
    """Send one request. Return the page, and the URL that it redirects to.

    Raises:
        Fatal: The URL is not one that may be fetched.
        OSError: The host cannot be reached, or breaks off.
    """
    scheme, host, port, path = _checked(url, hosts, ports)
    address, *others = resolve(host, port, private=private)
    kind = _SecureConnection if scheme == "https" else _Connection
    connection = kind(host, port, (address, *others))
    try:
        named = host if port == _PORTS[scheme] else f"{f'[{host}]' if ':' in host else host}:{port}"
        # Compressed, a few bytes could become gigabytes.
        headers = {"Host": named, "Accept-Encoding": "identity", "User-Agent": f"greenroom/{VERSION}"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        location = answer.getheader("Location")
        if answer.status in _REDIRECTS and location:
            return WebPage(url=url, status=answer.status), urljoin(url, location)
        encoding = answer.getheader("Content-Encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            msg = f"{url} answers with a body compressed by {encoding}, which was not asked for"
            raise Fatal(msg)
        body = _read(answer, most_bytes + 1)
        content_type = answer.getheader("Content-Type", "")
        text = _decoded(body[:most_bytes], answer.headers.get_content_charset("utf-8"))
        page = WebPage(
            url=url, status=answer.status, content_type=content_type, text=text, truncated=len(body) > most_bytes
        )
    except http.client.HTTPException as error:
        msg = f"{host} does not speak HTTP as it should: {type(error).__name__} {error}"
        raise ConnectionError(msg) from error
    finally:
        connection.close()
    return page, None


def _read(answer: http.client.HTTPResponse, most: int) -> bytes:
    """Read a body up to a number of bytes.

    Raises:
        IncompleteRead: The connection ended before the body.
    """
    body = b""
    while len(body) < most and (piece := answer.read(most - len(body))):
        body += piece
    if len(body) < most and answer.length:  # what is missing of the announced length
        raise http.client.IncompleteRead(body, answer.length)
    return body


def _checked(url: str, hosts: Sequence[str], ports: Sequence[int]) -> tuple[str, str, int, str]:
    """Return the scheme, host, port and path of a URL that may be fetched.

    Raises:
        Fatal: It may not.
    """
    try:
        parts = urlsplit(url)
        scheme, named = parts.scheme, parts.port
        host = normal_host(parts.hostname or "")
    except ValueError as error:
        msg = f"{url!r} is not a URL: {error}"
        raise Fatal(msg) from error
    if scheme not in _PORTS:
        msg = f"{url!r} begins with neither http:// nor https://"
        raise Fatal(msg)
    if parts.username is not None or parts.password is not None:
        msg = f"the URL names a user ({parts.username}), which is not allowed: leave out what stands before the @"
        raise Fatal(msg)
    if not is_allowed(host, hosts):
        msg = f"{host} is not one of the hosts that may be fetched from: {', '.join(hosts)}"
        raise Fatal(msg)
    port = _PORTS[scheme] if named is None else named
    if port != _PORTS[scheme] and port not in ports:
        msg = f"port {port} of {host} may not be connected to; `ports=` allows more than those of http and https"
        raise Fatal(msg)
    path = quote(parts.path or "/", safe=_KEPT)
    return scheme, host, port, f"{path}?{quote(parts.query, safe=_KEPT)}" if parts.query else path


def _decoded(body: bytes, charset: str) -> str:
    try:
        return body.decode(charset, errors="replace")
    except LookupError:  # an encoding that Python does not know
        return body.decode(errors="replace")


class _Connection(http.client.HTTPConnection):
    """A connection to one of the given addresses, whatever the host's name resolves to by now."""

    def __init__(self, host: str, port: int, addresses: Sequence[str]) -> None:
        super().__init__(host, port, timeout=READ_TIMEOUT)
        self._addresses = addresses

    @override
    def connect(self) -> None:
        """Connect to the first address that answers."""
        *others, last = self._addresses
        for address in others:
            try:
                self.sock = socket.create_connection((address, self.port), READ_TIMEOUT)
            except OSError:
                continue
            return
        self.sock = socket.create_connection((last, self.port), READ_TIMEOUT)


class _SecureConnection(_Connection):
    """The same with TLS, whose certificate must be that of the host's name."""

    @override
    def connect(self) -> None:
        """Connect, and check the certificate."""
        super().connect()
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)
