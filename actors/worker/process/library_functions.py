"""Functions of the standard library that every attempt needs: finds out whether user code has replaced one of them.

A worker describes failures, sends results and runs coroutines with them. If a function leaves its own in their place,
as a patch does that is never undone, the next attempts would fail for what they have not done.
"""

import asyncio
import builtins
import contextvars
import datetime as dt
import functools
import inspect
import json
import linecache
import os
import re
import selectors
import socket
import sys
import threading
import time
import traceback
from json import encoder
from operator import itemgetter
from types import ModuleType
from typing import Any, Final

_NEEDED: Final[tuple[tuple[ModuleType, str], ...]] = (
    (asyncio, "all_tasks new_event_loop sleep wait"),
    (builtins, "isinstance len open print str"),
    (contextvars, "copy_context ContextVar"),
    (dt, "datetime timedelta"),
    (encoder, "encode_basestring_ascii JSONEncoder"),
    (functools, "partial wraps"),
    (inspect, "isasyncgen iscoroutine isgenerator"),
    (json, "dumps loads"),
    (linecache, "checkcache getline lazycache"),
    (os, "close fstat getpid open read write"),
    (re, "compile sub"),
    (selectors, "DefaultSelector EpollSelector"),
    (socket, "socket socketpair"),
    (sys, "intern modules"),
    (threading, "Lock Thread get_ident"),
    (time, "monotonic perf_counter sleep time"),
    (traceback, "extract_tb walk_tb StackSummary"),
)
"""Modules, and names in each: at least two, because ``itemgetter`` returns no tuple for one."""


class LibraryFunctions:
    """The functions as they were before the first attempt. Main thread of a worker that runs one attempt at a time."""

    def __init__(self) -> None:
        """Remember the functions. What an app has replaced while it was imported is what its steps expect."""
        self._reads = [(itemgetter(*names.split()), vars(module)) for module, names in _NEEDED]
        self._before = self._read()

    def replaced(self) -> str:
        """Return which functions are no longer those from before, as a reason; empty if none. Takes 3 microseconds."""
        try:
            if self._read() == self._before:
                return ""
        except Exception:  # noqa: BLE001, S110  a name is gone, or an object of user code has an ``__eq__`` that raises
            pass
        return f"it replaced {', '.join(self._names()) or 'functions of the standard library'}"

    def _read(self) -> list[tuple[Any, ...]]:
        return [read(names) for read, names in self._reads]

    def _names(self) -> list[str]:
        return [
            f"{module.__name__}.{name}"
            for (module, names), before in zip(_NEEDED, self._before, strict=True)
            for name, known in zip(names.split(), before, strict=True)
            if vars(module).get(name) is not known
        ]
