"""Text of other people, such as a comment or the name of a key, as the pages' Markdown shows it: letter by letter."""

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:])")


def escaped(text: str) -> str:
    """The text with everything escaped that Markdown would read as markup, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
