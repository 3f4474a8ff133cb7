"""A workflow's coroutine while it runs: its event loop, its tasks, and the comparison with its journal."""
