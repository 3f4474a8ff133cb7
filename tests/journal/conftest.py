"""Journals to test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.journal.interface import Journal
from greenroom.journal.memory import MemoryJournal
from greenroom.journal.sqlite.journal import SqliteJournal
from tests.journal.appends import Client


@pytest.fixture(params=["memory", "sqlite-full", "sqlite-process"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    """Give an empty journal of each kind."""
    made: Journal
    if request.param == "memory":
        made = MemoryJournal()
    else:
        made = SqliteJournal(tmp_path / "journal.db", durability=request.param.removeprefix("sqlite-"))
    yield made
    made.close()


@pytest.fixture
def client(journal: Journal) -> Client:
    """Give a client of the journal under test."""
    return Client(journal)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., SqliteJournal]]:
    """Give a function that opens SQLite journals, by default one path again and again; all are closed in the end."""
    journals: list[SqliteJournal] = []

    def open_journal(path: Path = tmp_path / "journal.db", **options: Any) -> SqliteJournal:
        journals.append(SqliteJournal(path, **options))
        return journals[-1]

    yield open_journal
    for each in journals:
        each.close()
