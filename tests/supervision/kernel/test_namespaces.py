"""Namespaces of processes, in the way in which a worker enters them. Needs root, to become another user."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT

AS_NOBODY = """
import os, sys, time
from greenroom.messages.options.policy import Limits
from greenroom.supervision.kernel import linux
from greenroom.supervision.process import resource_limits
os.setgroups([]); os.setgid(65534); os.setuid(65534)
linux.set_dumpable(True)
"""
BURST = """
resource_limits.apply_limits(Limits(processes=3))
count = 0
try:
    while count < 300:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        count += 1
except BlockingIOError:
    pass
print(count, os.getuid())
sys.stdout.flush()
os.killpg(0, 9)
"""
OFFLINE = """
resource_limits.apply_limits(Limits(network=False))
print([line.split(":")[0].strip() for line in open("/proc/net/dev")][2:], os.getuid(), os.getgid())
"""


def as_nobody(script: str) -> str:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    command = [sys.executable, "-c", AS_NOBODY + script]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False, start_new_session=True
    ).stdout


def test_the_kernel_bounds_a_burst_of_processes_of_another_user_than_root():
    count, user = as_nobody(BURST).split()
    assert 3 <= int(count) <= 3 + 64
    assert user == "65534"


def test_another_user_than_root_leaves_the_network_and_stays_itself():
    assert as_nobody(OFFLINE) == "['lo'] 65534 65534\n"
