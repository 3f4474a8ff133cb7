"""The libraries of providers are used once before workers are forked, and leave nothing that a fork could not bear."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from greenroom.actors.app import provider_warmup
from tests.support import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

NAMES = ("openai:gpt-5", "openai-chat:gpt-5", "anthropic:claude-haiku-4-5", "google:gemini-2.5-flash")
SCRIPT = f"""
import json, os, time
from pathlib import Path

def opened():
    return {{link.name for link in Path("/proc/self/fd").iterdir()}}

before = opened()
from greenroom.actors.app.provider_warmup import warm_up_providers
warm_up_providers({NAMES!r})
end = time.monotonic() + 5
while len(threads := os.listdir("/proc/self/task")) > 1 and time.monotonic() < end:
    time.sleep(0.001)
sockets = [fd for fd in opened() - before if os.path.lexists(f"/proc/self/fd/{{fd}}") and "socket" in os.readlink(f"/proc/self/fd/{{fd}}")]
began = time.process_time()
warm_up_providers({NAMES!r})
print(json.dumps([len(threads), sockets, time.process_time() - began]))
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_answer_goes_through_each_library(name: str) -> None:
    asyncio.run(provider_warmup._warm_up(name))


@pytest.mark.parametrize("name", ["bedrock:x", "xai:grok-4", "google-cloud:gemini-2.5-flash"])
def test_a_library_that_is_missing_or_wants_more_is_left_to_the_worker(name: str) -> None:
    provider_warmup.warm_up_providers((name,))


def test_no_thread_and_no_socket_is_left_and_no_key_is_needed() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    threads, sockets, again = json.loads(done.stdout)
    assert (threads, sockets) == (1, [])
    assert again < 0.5, "a second use is that of a worker"
