"""Texts of other programs in our one-line messages."""

import pytest

from runtime.sentences import shortened


@pytest.mark.parametrize(("text", "short"), [
    ("one two three", "one two three"), ("one two three four", "one two ..."), (" one\n\ttwo ", "one two"),
    ("x" * 20, "xxxxxxxxxx ..."), ("x" * 14, "x" * 14), ("", ""), ("...", "..."), (ValueError("a b"), "a b"),
])
def test_a_text_is_cut_after_a_word(text, short):
    assert shortened(text, 14) == short
    assert len(short) <= 14
