"""Ending what a step has left running, in a process that adopts orphans as a worker does."""

import json
import os
import subprocess
import sys

from greenroom.supervision.kernel import linux

SCRIPT = """
import json, os, signal, subprocess, sys, threading, time
from greenroom.actors.worker.process.descendants import kill_descendants
from greenroom.supervision.kernel import linux

linux.adopt_orphans()
reading, writing = os.pipe()

def child(depth, new_session):
    pid = os.fork()
    if pid:
        return
    if new_session:
        os.setsid()
    if depth:
        child(depth - 1, new_session)
        if depth == 2:
            os._exit(0)  # its child is an orphan now
    os.write(writing, f"{os.getpid()} ".encode())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pause()

deed = sys.argv[1]
expected = 0
if deed == "family":
    child(0, False)
    child(0, True)
    child(2, True)
    expected = 4
if deed == "forker":
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork() == 0:
                os.write(writing, f"{os.getpid()} ".encode())
                time.sleep(0.001)
                if os.fork():
                    os._exit(0)
                os.write(writing, f"{os.getpid()} ".encode())
                signal.pause()
            os.wait()
    expected = 20
if deed == "thread":
    thread = threading.Thread(target=lambda: subprocess.Popen(["sleep", "1000"]).wait())
    thread.start()
    while not linux.child_pids():
        pass
pids = []
while len(pids) < expected:
    pids += map(int, os.read(reading, 10000).split())
ended = kill_descendants()
print(json.dumps([ended, pids, linux.child_pids(), kill_descendants()]))
"""


def end_descendants(deed: str) -> tuple[int, list[int], list[int], int]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, deed],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    ended, pids, left, again = json.loads(done.stdout)
    return ended, pids, left, again


def test_where_there_are_none_nothing_is_ended() -> None:
    assert end_descendants("nothing") == (0, [], [], 0)


def test_children_sessions_and_daemons_are_ended_and_reaped() -> None:
    ended, pids, left, again = end_descendants("family")
    assert ended >= len(pids) == 4
    assert (left, again) == ([], 0)
    assert not [pid for pid in pids if linux.process_state(pid)]


def test_one_that_forks_without_end_is_ended_too() -> None:
    ended, pids, left, again = end_descendants("forker")
    assert ended >= 1
    assert (left, again) == ([], 0)
    assert not [pid for pid in pids if linux.process_state(pid) not in {"", "Z"}]


def test_the_child_of_another_thread_is_ended_too() -> None:
    _, _, left, again = end_descendants("thread")
    assert (left, again) == ([], 0)
