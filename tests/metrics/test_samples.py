"""Samples of real processes."""

import os
import subprocess
import sys

from greenroom.metrics.samples import sample

HOLDS_MEMORY = "import sys; held = bytearray(64 * 1024 * 1024); sum(range(10**6)); print(flush=True); sys.stdin.read()"


def test_a_process_is_seen_with_its_memory_and_its_processor_time():
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_MEMORY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        found = sample([process.pid, os.getpid()])
        assert set(found) == {process.pid, os.getpid()}
        one = found[process.pid]
        assert one.pid == process.pid
        assert one.uss_bytes is not None
        assert one.pss_bytes is not None
        assert 64 * 1024 * 1024 < one.uss_bytes <= one.pss_bytes <= one.rss_bytes
        assert one.cpu > 0


def test_processes_that_have_gone_are_left_out():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(30)
    assert sample([process.pid]) == {}
    assert sample([]) == {}


def test_a_dead_process_that_nobody_has_collected_counts_as_gone():
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.read()  # ends with the process
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert sample([process.pid]) == {}
    process.stdout.close()
    process.wait(30)
