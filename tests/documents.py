"""The documents, and the code and the commands in them."""

import re
import shlex
import textwrap

from tests.runs import ROOT

PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
         for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))}
COMMENT = re.compile("<!--.*?-->", re.DOTALL)
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"([A-Z_]+=\S* )*(python3 |torchrun |\./utils/)")
SHELL = ("", "bash", "sh", "console")  # languages of fenced blocks that hold commands


def blocks_in(text, *languages):
    """Return the fenced blocks in one of the languages, "" for none."""
    return [textwrap.dedent(code) for _, own, code in FENCE.findall(COMMENT.sub("", text)) if own in languages]


def spans_in(text):
    """Return the pieces of code within sentences."""
    return [" ".join(span.split()) for span in re.findall("`([^`]+)`", FENCE.sub("", COMMENT.sub("", text)))]


def words_of(line):
    """Return the words of a command, without variables before it and without a comment."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)
    return words


def is_command(line):
    """Return whether a piece of code is a command of the project."""
    return COMMAND.match(line) is not None


def commands_in(text):
    """Return the commands of the project, in fenced blocks and within sentences."""
    lines = [line for code in blocks_in(text, *SHELL) for line in code.splitlines()]
    return list(dict.fromkeys(line for line in (*lines, *spans_in(text)) if is_command(line)))
