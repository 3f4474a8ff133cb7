"""Text of others on a terminal or in a log, where it must not do anything."""


def printable(text: str) -> str:
    r"""Return a text with everything escaped that could move a cursor, hide text or begin a new line.

    Example: a line feed becomes the two characters ``\n``, an escape character ``\x1b``.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
