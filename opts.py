"""Command line: shared argument groups, and the one place that turns bad input into one line and exit 2."""

import argparse
import sys


class Parser(argparse.ArgumentParser):
    """An argument parser that shows defaults and complains in one line."""

    def __init__(self, description):
        super().__init__(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def run(parser, work, argv=None):
    """Parse `argv`, call work(args) and return its result.

    ValueError and OSError carry a sentence for the user (what was given, what was found, what to do): it is printed
    as one line on stderr and the process ends with status 2.
    """
    args = parser.parse_args(argv)
    try:
        return work(args)
    except (ValueError, OSError) as error:
        sentence = " ".join(str(error).split()) or type(error).__name__
        parser.exit(2, f"{parser.prog}: error: {sentence}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; what is complete is kept, run the same command to go on\n")


def positive_int(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def warn(message):
    print(f"warning: {message}", file=sys.stderr)
