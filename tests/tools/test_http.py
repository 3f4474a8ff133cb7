"""``http_fetch`` against servers of this machine, which misbehave on request."""

import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from greenroom.messages.core.errors import Fatal
from greenroom.tools import http_fetch


class Server(ThreadingHTTPServer):
    """Counts connections, and answers by the path."""

    daemon_threads = True

    def __init__(self, address="127.0.0.1"):
        self.connections = 0
        super().__init__((address, 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def get_request(self):
        found = super().get_request()
        self.connections += 1
        return found


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        kind, _, rest = self.path.lstrip("/").partition("/")
        if kind == "to":  # a redirect
            self.send_response(302)
            self.send_header("Location", rest)
            self.end_headers()
        elif kind == "flood":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                return
        elif kind == "bomb":
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
        elif kind == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"short")
        elif kind == "garbage":
            self.wfile.write(b"no HTTP at all\r\n\r\n")
        else:
            body = f"{self.path} for {self.headers['Host']}, é".encode("latin-1")
            self.send_response(404 if kind == "missing" else 200)
            self.send_header("Content-Type", "text/plain; charset=latin-1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


@pytest.fixture
def server():
    with Server() as opened:
        yield opened
        opened.shutdown()


def fetcher(*servers, hosts=("127.0.0.1",), **options):
    ports = [each.port for each in servers]
    return http_fetch("fetch", hosts=hosts, ports=ports, private=True, **options).fn


def test_a_page_is_returned_with_its_status_and_its_text(server):
    fetch = fetcher(server)
    page = fetch(f"http://127.0.0.1:{server.port}/a path/ö?q=a b#part")
    assert page.text == f"/a%20path/%C3%B6?q=a%20b for 127.0.0.1:{server.port}, é"
    assert (page.status, page.content_type, page.truncated) == (200, "text/plain; charset=latin-1", False)
    assert fetch(f"http://127.0.0.1:{server.port}/missing").status == 404


def test_a_redirect_is_followed_to_allowed_hosts_alone(server):
    fetch = fetcher(server)
    base = f"http://127.0.0.1:{server.port}"
    assert fetch(f"{base}/to//there").url == f"{base}/there"
    for target in ("http://localhost:1/", "http://169.254.169.254/latest/", "file:///etc/passwd", f"{base[:-1]}0/"):
        with pytest.raises(Fatal):
            fetch(f"{base}/to/{target}")
    with pytest.raises(Fatal, match="redirects more than 5 times"):
        fetch(f"{base}/to/" * 9)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://127.0.0.1/", "neither http:// nor https://"),
        ("http://me:secret@127.0.0.1/", "names a user"),
        ("http://127.0.0.1@evil.example/", "names a user"),
        ("http://2130706433/", "not one of the hosts"),
        ("http://127.1/", "not one of the hosts"),
        ("http://evil.example/", "not one of the hosts that may be fetched from: 127.0.0.1"),
        ("http://127.0.0.1:22/", "port 22"),
        ("http://127.0.0.1:99999/", "is not a URL"),
        ("http:///path", "is not a URL"),
        ("", "is not a URL"),
    ],
)
def test_a_url_that_may_not_be_fetched_is_refused_before_anything_is_sent(server, url, said):
    with pytest.raises(Fatal, match=said) as caught:
        fetcher(server)(url)
    assert "secret" not in str(caught.value)
    assert server.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_host_with_a_private_address_is_refused_by_default(server, host):
    fetch = http_fetch("fetch", hosts=[host], ports=[server.port]).fn
    with pytest.raises(Fatal, match="is not public, so no connection is made"):
        fetch(f"http://{host}:{server.port}/")
    assert server.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        *("127.1", "0", "0.0.0.0", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "localhost."),
        *("[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]"),
        *("169.254.169.254", "0xa9fea9fe", "2852039166", "[::ffff:169.254.169.254]", "[fe80::1]", "[fec0::1]"),
        *("\uff11\uff12\uff17.0.0.1", "\u24dbocalhost", "127\u30020\u30020\u30021"),  # other digits, letters and dots
    ],
)
def test_no_spelling_of_a_private_address_is_connected_to(server, host):
    """Not if the list names it as it is written, and not if it does not."""
    url = f"http://{host}:{server.port}/"
    listed = http_fetch("listed", hosts=[host.strip("[]")], ports=[server.port]).fn
    with pytest.raises(Fatal, match="is not public, so no connection is made"):
        listed(url)
    unlisted = http_fetch("unlisted", hosts=["example.com", "*.example.com"], ports=[server.port]).fn
    with pytest.raises(Fatal, match="is not one of the hosts"):
        unlisted(url)
    assert server.connections == 0


def test_one_private_address_among_public_ones_is_refused(server, monkeypatch):
    """The answer of the name server is chosen, because a test has no name server to ask."""
    _answer(monkeypatch, ["93.184.215.14", "127.0.0.1"])
    with pytest.raises(Fatal, match="example.com has the address 127.0.0.1"):
        http_fetch("fetch", hosts=["example.com"], ports=[server.port]).fn(f"http://example.com:{server.port}/")
    assert server.connections == 0


def test_a_name_that_changes_its_address_after_the_check_is_not_asked_again(monkeypatch):
    """A name server that answers first with one server and then with another: only the first is connected to."""
    with Server("127.0.0.2") as good, Server() as bad:
        asked = _answer(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
        page = fetcher(good, bad, hosts=["rebinding.example"])(f"http://rebinding.example:{good.port}/")
        assert page.text.startswith(f"/ for rebinding.example:{good.port}")
        assert asked == ["rebinding.example"]  # a second question would have another answer
        assert (good.connections, bad.connections) == (1, 0)
        good.shutdown()
        bad.shutdown()


def _answer(monkeypatch, *answers):
    """Answer questions for names, each with the next list of addresses; addresses are not asked for."""
    real, asked, left = socket.getaddrinfo, [], list(answers)

    def getaddrinfo(host, port, *args, **options):
        if host[0].isdigit():
            return real(host, port, *args, **options)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in left.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_long_body_is_cut_and_a_short_one_is_an_error(server):
    page = fetcher(server, most_bytes=1000)(f"http://127.0.0.1:{server.port}/flood")
    assert (len(page.text), page.truncated) == (1000, True)
    for kind in ("cut", "garbage"):
        with pytest.raises(ConnectionError, match="does not speak HTTP as it should"):
            fetcher(server)(f"http://127.0.0.1:{server.port}/{kind}")
    with pytest.raises(Fatal, match="compressed by gzip"):
        fetcher(server)(f"http://127.0.0.1:{server.port}/bomb")


def test_a_server_that_says_nothing_ends_the_fetch(monkeypatch):
    monkeypatch.setattr("greenroom.tools.http.READ_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        fetch = http_fetch("fetch", hosts=["127.0.0.1"], ports=[mute.getsockname()[1]], private=True).fn
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            fetch(f"http://127.0.0.1:{mute.getsockname()[1]}/")
        assert time.monotonic() - started < 5


def test_a_certificate_of_nobody_is_refused_and_one_of_the_host_accepted(tmp_path, monkeypatch):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(
        [*made, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Server() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        fetch = fetcher(server, hosts=["localhost", "other.example"])
        with pytest.raises(ssl.SSLCertVerificationError):
            fetch(f"https://localhost:{server.port}/")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch(f"https://localhost:{server.port}/x").text.startswith("/x for localhost")
        _answer(monkeypatch, ["127.0.0.1"])
        with pytest.raises(ssl.SSLCertVerificationError):
            fetch(f"https://other.example:{server.port}/x")
        _answer(monkeypatch, ["127.0.0.1"])
        with pytest.raises(Fatal, match="not encrypted"):
            fetch(f"https://localhost:{server.port}/to/http://localhost:{server.port}/")
        server.shutdown()
