"""The errors a user of the harness can mend; the command line prints them and exits with 2."""


class EvalError(Exception):
    """Something the user can mend: the text says what is wrong, where, and what to do."""


class DataError(EvalError):
    """Rows that cannot be used. ``problems`` holds one ``file:line: what is expected`` each."""

    def __init__(self, problems: list[str]) -> None:
        """Keep every problem, so that all can be mended at once."""
        self.problems = problems
        super().__init__("\n".join(problems))
