"""Ctrl+C and SIGTERM end a command wherever the main thread is when they come, and whichever thread gets them."""

import signal
import subprocess
import sys

import pytest

from tests.support import ROOT

SCRIPT = """
import os, signal, sys, threading, weakref
from greenroom.cli.interruption import heard_ends

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), {number})

class Referred:
    pass

def forget(_ref):
    os.kill(os.getpid(), {number})

def tell_this_thread():
    asleep = 0
    while asleep < 100:  # the main thread waits
        with open(f"/proc/self/task/{{os.getpid()}}/stat") as stat:
            asleep = asleep + 1 if stat.read().rpartition(") ")[2][0] == "S" else 0
    signal.pthread_kill(threading.get_ident(), {number})

threads = threading.active_count()
with heard_ends() as told:
    try:
        if {place!r} == "finalizer":
            Finalized()
        elif {place!r} == "callback":
            referred = Referred()
            ref = weakref.ref(referred, forget)
            del referred
        elif {place!r} == "another thread":
            threading.Thread(target=tell_this_thread).start()
        else:
            os.kill(os.getpid(), {number})
        threading.Event().wait()
    except KeyboardInterrupt:
        print("heard", told)
    else:
        print("not heard")
assert sys.unraisablehook is sys.__unraisablehook__
for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGURG):
    assert signal.getsignal(number) == signal.SIG_DFL
assert signal.set_wakeup_fd(-1) == -1
assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
assert threading.active_count() == threads
"""


@pytest.mark.parametrize("place", ["finalizer", "callback", "code", "another thread"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_heard_wherever_it_comes(number: signal.Signals, place: str) -> None:
    script = SCRIPT.format(number=int(number), place=place)
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    heard = [] if number == signal.SIGINT else [int(number)]
    assert (ended.stdout, ended.stderr) == (f"heard {heard}\n", "")


TWICE = """
import os, signal, threading, time
from greenroom.cli import interruption
from greenroom.cli.commands.serving import serve

def as_timeout_does(seconds):
    if seconds == interruption.TOGETHER:
        os.kill(os.getpid(), signal.SIGTERM)
    sleep(seconds)

sleep, time.sleep = time.sleep, as_timeout_does
if {serving}:
    ends = serve._heard_ends()
    os.kill(os.getpid(), signal.SIGTERM)
    print("heard", ends.get(timeout=20), ends.empty(), flush=True)
else:
    with interruption.heard_ends() as told:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait()
        except KeyboardInterrupt:
            print("heard", told, flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
os.kill(os.getpid(), signal.SIGTERM)
print("not ended")
"""


@pytest.mark.parametrize(("serving", "heard"), [(True, "None True"), (False, f"[{int(signal.SIGTERM)}]")])
def test_sigterm_that_comes_twice_at_once_is_heard_once_and_a_later_one_ends_the_process(
    serving: bool, heard: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TWICE.format(serving=serving)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == (f"heard {heard}\n", "", -signal.SIGTERM)


def test_other_errors_that_cannot_be_raised_are_reported_as_ever() -> None:
    script = SCRIPT.format(number="1 / 0", place="finalizer").replace("threading.Event().wait()", "pass")
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout == "not heard\n"
    assert "ZeroDivisionError" in ended.stderr


def test_an_interrupt_while_a_command_is_imported_is_told_in_a_sentence() -> None:
    script = """
import os, signal, sys
from importlib.abc import MetaPathFinder

class Interrupting(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "greenroom.cli.settings":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from greenroom.__main__ import main
sys.exit(main(["--version"]))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "greenroom: interrupted\n")
