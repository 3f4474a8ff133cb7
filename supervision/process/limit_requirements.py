"""What must be there for the limits of a worker: checked before its pool starts the first one."""

from pathlib import Path

from greenroom.messages.options.policy import Limits
from greenroom.supervision.kernel.namespaces import network_refusal


def limits_refusal(limits: Limits) -> str:
    """Return one sentence on why the limits cannot be kept here; empty if they can.

    The first question about the network starts a process, so ask ``network_refusal`` in a thread before.
    """
    if limits.workdir is not None and not Path(limits.workdir).is_dir():
        return f"there is no folder {limits.workdir} for them to work in (`workdir=`)"
    if not limits.network and (reason := network_refusal()):
        return (
            f"`network=False` needs a network namespace, and none is allowed here ({reason}): allow user namespaces "
            "(sysctl user.max_user_namespaces, the seccomp profile of the container), or take "
            "`network=False` away"
        )
    return ""
