"""Starting this command line again, in another process."""

import os
from importlib import resources
from pathlib import Path


def own_environment() -> dict[str, str]:
    """Return the environment in which another interpreter imports the same greenroom as this one."""
    package = Path(str(resources.files("greenroom"))).parent
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))}
