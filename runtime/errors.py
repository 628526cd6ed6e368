"""The error that a user can mend. Only this one, OSError and exhausted memory become one line and exit status 2."""


class UserError(ValueError):
    """Wrong input, with one sentence for the user: what was given, what was found and what to do.

    Every other exception is a fault of the project and keeps its traceback (opts.run).
    """
