"""What is said where the kernel refuses a resource."""

import errno
import os

import pytest

from greenroom.supervision.process.refused_resource import with_remedy


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EMFILE, "`ulimit -n 65536`"), (errno.EAGAIN, "`ulimit -u 4096`"), (errno.ENOMEM, "")],
)
def test_a_refused_resource_is_named_with_how_to_allow_more(number: int, remedy: str) -> None:
    error = OSError(number, os.strerror(number))
    said = with_remedy(error)
    assert said.startswith(str(error))
    assert said.endswith(f"for instance with {remedy}, and start again" if remedy else str(error))
