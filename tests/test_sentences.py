"""runtime/sentences.py: texts of other programs and counts in our one-line messages."""

import pytest

from runtime.sentences import counted, shortened


@pytest.mark.parametrize(("text", "short"), [
    ("one two three", "one two three"), ("one two three four", "one two ..."), (" one\n\ttwo ", "one two"),
    ("x" * 20, "xxxxxxxxxx ..."), ("x" * 14, "x" * 14), ("", ""), ("...", "..."), (ValueError("a b"), "a b"),
])
def test_a_text_is_cut_after_a_word(text, short):
    assert shortened(text, 14) == short
    assert len(short) <= 14


def test_a_count_agrees_with_its_noun():
    assert [counted(number, "clip") for number in (0, 1, 1200)] == ["0 clips", "1 clip", "1,200 clips"]
