"""``greenroom serve``, as a process: what it prints, whom it lets in, and how it ends."""

import json
import re
import resource
import signal
import socket
import stat
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from greenroom import Client, GreenroomError
from greenroom.workflows.home.home import OwnerLock, lock_path
from tests.support import descendants, eventually

pytestmark = pytest.mark.slow

NOSY = """
import os
from pathlib import Path

from greenroom import tool, workflow


@tool
def look() -> list[str]:
    places = [Path(f"/proc/{pid}/environ") for pid in ("self", os.getppid())]
    return [str(place) for place in places if b"somebody-chose" in place.read_bytes()]


@workflow
async def nosy() -> list[str]:
    return await look()
"""
ENDS_WITHIN = 2.0 + 3.0
"""Seconds from a signal to the end of the process, whoever is being talked to: what steps have to end by themselves, and
what the end of all processes takes on a busy machine (less than a second on an idle one)."""


def serving(greenroom, *arguments: str, **options):
    """Start a server and give its process, its url and the token where it told one."""
    process = greenroom.start("serve", "app.py", "--port", "0", *arguments, **options)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving on http://"), (line, process.stderr.read() if process.poll() else "")
    return process, line.split()[2]


def ended(process, number: int = signal.SIGINT) -> tuple[str, str, float]:
    begin = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    return out, err, time.monotonic() - begin


def test_the_token_is_shown_once_and_kept_for_its_owner_alone(greenroom):
    process, url = serving(greenroom)
    home = greenroom.home
    token = (home / "token").read_text().strip()
    assert stat.S_IMODE((home / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "orchestrator.json").stat().st_mode) == 0o600
    record = json.loads((home / "orchestrator.json").read_text())
    assert (record["url"], record["pid"]) == (url, process.pid)
    with Client(url, token) as client:
        assert client.start_app("app.py", "total", {"a": 1}).result(30) == 2
    assert "shown this once" in process.stdout.readline()
    assert process.stdout.readline() == f"{token}\n"
    out, err, _ = ended(process)
    assert process.returncode == 0
    assert "url" not in json.loads((home / "orchestrator.json").read_text())
    again, url = serving(greenroom)
    with Client(url, token) as client:
        assert len(client.runs()) == 1
    assert again.returncode is None
    again.send_signal(signal.SIGTERM)
    told = again.stdout.read()
    assert again.wait(20) == 0
    assert token not in told + out + err + again.stderr.read()
    assert token not in (home / "log.jsonl").read_text()
    assert token not in (home / "journal.db").read_bytes().decode("latin-1")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_within_moments_with_streams_open_and_leaves_no_process(greenroom, number):
    process, url = serving(greenroom)
    token = (greenroom.home / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    with Client(url, token) as client:
        run = client.start_app("app.py", "taught", {}, id="taught")
        eventually(lambda: run.status == "waiting", 20)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(family) > 2
    reading = threading.Barrier(5)

    def read() -> None:
        with (
            httpx.Client(headers=headers, trust_env=False, timeout=30) as http,
            http.stream("GET", f"{url}/api/v1/runs/taught/stream") as answer,
        ):
            lines = answer.iter_lines()
            next(lines)
            reading.wait(20)
            for _ in lines:
                pass

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    stuck = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])))  # begins a request and never ends it
    stuck.sendall(
        b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n"
        + f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    reading.wait(20)
    _, err, seconds = ended(process, number)
    stuck.close()
    for reader in readers:
        reader.join(20)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert seconds < ENDS_WITHIN
    _, alive = psutil.wait_procs(family, timeout=2)
    assert not alive, alive
    assert not descendants()


def test_a_port_that_is_taken_is_said_in_a_sentence(greenroom):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = greenroom("serve", "app.py", "--port", str(taken.getsockname()[1]), code=2)
    assert re.fullmatch(r"greenroom: cannot listen at 127\.0\.0\.1 port \d+: another program .*--port.*\n", answer.err)
    assert not (greenroom.home / "token").exists()
    answer = greenroom("serve", "app.py", "--host", "192.0.2.1", code=2)
    assert "no token yet" in answer.err
    assert "there is no host" in greenroom("serve", "app.py", "--host", "no such host", code=2).err


def test_other_machines_are_let_in_with_a_token_that_somebody_chose(greenroom, monkeypatch):
    answer = greenroom("serve", "app.py", "--host", "0.0.0.0", "--port", "0", code=2)
    assert "GREENROOM_TOKEN" in answer.err
    monkeypatch.setenv("GREENROOM_TOKEN", "short")
    assert "at least 16" in greenroom("serve", "app.py", "--port", "0", code=2).err
    token = "a-token-that-somebody-chose"
    monkeypatch.setenv("GREENROOM_TOKEN", token)
    (greenroom.folder / "app.py").write_text(NOSY)
    process, url = serving(greenroom, "--host", "0.0.0.0")
    with Client(url, token) as client:
        assert client.start_app("app.py", "nosy", {}).result(30) == [], "workers do not hear of the token"
    port = url.rsplit(":", 1)[1]
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, trust_env=False) as http:
        assert http.get(f"http://127.0.0.1:{port}/api/v1/runs").status_code == 200
        assert http.get(f"http://127.0.0.1:{port}/api/v1/runs", headers={"Host": "10.1.2.3"}).status_code == 200
        assert http.get(f"http://127.0.0.1:{port}/api/v1/runs", headers={"Host": "evil.example"}).status_code == 403
    out, err, _ = ended(process)
    assert token not in out + err
    assert not (greenroom.home / "token").exists()


def test_a_token_that_others_may_have_read_is_not_used(greenroom):
    greenroom.home.mkdir()
    token = greenroom.home / "token"
    token.write_text("x" * 40)
    token.chmod(0o644)
    assert f"chmod 600 {token}" in greenroom("serve", "app.py", "--port", "0", code=2).err


def test_what_cannot_be_served_is_said_at_once(greenroom):
    assert "there is no file 'missing.py'" in greenroom("serve", "missing.py", code=2).err
    (greenroom.folder / "torn.py").write_text("def torn(:\n")
    assert "SyntaxError" in greenroom("serve", "torn.py", "--port", "0", code=2).err
    process, _ = serving(greenroom)
    assert "in use by another orchestrator" in greenroom("serve", "app.py", "--port", "0", code=2).err
    ended(process)


def test_it_waits_for_a_short_command_that_holds_the_journal(greenroom):
    greenroom("run", "app.py:total", "-i", "a=1")
    lock = OwnerLock(lock_path(greenroom.home / "journal.db"))
    lock.acquire("the journal")
    process = greenroom.start("serve", "app.py", "--port", "0")
    try:
        assert "waiting until it ends" in process.stderr.readline()
    finally:
        lock.release()
    assert process.stdout.readline().startswith("serving on http://")
    ended(process)


def test_programs_are_told_where_it_is(greenroom):
    process = greenroom.start("serve", "app.py", "--port", "0", "-o", "json")
    lines = []
    while not lines or lines[-1] != "}\n":
        lines.append(process.stdout.readline())
    told = json.loads("".join(lines))
    with Client(told["url"], told["token"]) as client:
        assert client.runs() == []
    assert Path(told["token_file"]).read_text().strip() == told["token"]
    ended(process)


def test_commands_reach_it_through_the_home_as_before(greenroom):
    process, url = serving(greenroom)
    with Client(url, home=greenroom.home) as client:
        run = client.start_app("app.py", "taught", {}, id="taught")
        greenroom("send", "taught", "Lesson", '{"word": "so"}')
        assert run.result(30) == "so"
        assert greenroom.result_of("actors", "tree", "-o", "json")["kind"] == "supervisor"
    ended(process)


def test_a_journal_that_fails_ends_it(greenroom):
    process, _ = serving(greenroom, preexec_fn=limit_files)
    with Client(home=greenroom.home) as client, pytest.raises(GreenroomError):
        fill(client)
    assert process.wait(30) == 1
    err = process.stderr.read()
    assert "journal failed" in err
    assert "Traceback" not in err


def fill(client: Client) -> None:
    for number in range(2000):
        client.start_app("app.py", "greet", {"name": "x" * 20_000}, id=f"r{number}")


def limit_files() -> None:
    """Let no file grow beyond 2 MB: to the journal that is a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_while_an_app_is_imported(greenroom, number):
    (greenroom.folder / "slow.py").write_text(
        "import time\nfrom pathlib import Path\nPath(__file__).with_name('begun').touch()\ntime.sleep(600)\n"
    )
    served = greenroom.start("serve", "slow.py", "--port", "0")
    eventually((greenroom.folder / "begun").exists, 30, what="the import")
    served.send_signal(number)
    out, err = served.communicate(timeout=20)
    assert (served.returncode, out, err) == (0, "", "greenroom: stopped before the server was ready\n")
