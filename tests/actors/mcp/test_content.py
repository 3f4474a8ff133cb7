"""The content of a result as a model reads it."""

import pytest

from greenroom.actors.mcp.content import without_bytes


@pytest.mark.parametrize(
    ("item", "read"),
    [
        ({"type": "text", "text": "a dot"}, {"type": "text", "text": "a dot"}),
        ({"type": "image", "data": "aGk=", "mimeType": "image/png"}, {"mimeType": "image/png", "data": 2}),
        ({"type": "audio", "data": "aGkh", "mimeType": "audio/wav"}, {"mimeType": "audio/wav", "data": 3}),
        ({"type": "image", "data": "", "mimeType": "image/png"}, {"mimeType": "image/png", "data": 0}),
    ],
)
def test_bytes_are_counted_and_text_stays(item, read):
    if isinstance(read.get("data"), int):
        read = {"type": item["type"], **read, "data": f"({read['data']} bytes that are not shown here)"}
    assert without_bytes([item]) == [read]


def test_the_bytes_of_a_resource_are_counted_and_its_text_stays():
    told, text = {"uri": "file:///a.txt", "text": "inner"}, {"type": "text", "text": "see"}
    blob = {"uri": "file:///a.pdf", "blob": "aGk=", "mimeType": "application/pdf"}
    content = [text, {"type": "resource", "resource": told}, {"type": "resource", "resource": blob}]
    assert without_bytes(content) == [
        text,
        {"type": "resource", "resource": told},
        {"type": "resource", "resource": {**blob, "blob": "(2 bytes that are not shown here)"}},
    ]


@pytest.mark.parametrize("content", [[], [1, "a", None], [{"type": "image"}], [{"type": "resource", "resource": 1}]])
def test_lists_that_a_fake_returns_stay_as_they_are(content):
    assert without_bytes(content) == content
