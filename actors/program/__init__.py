"""A workflow's coroutine while it runs: its loop, its tasks, and the comparison with its journal."""
