"""The two errors a user can cause; everything else that escapes is a bug of ours."""


class KitError(Exception):
    """Something the user can mend: one line that says what happened, where, and what to do.

    The command line prints it without a traceback and exits with `exit_code`.
    """

    exit_code = 2

    def __str__(self) -> str:
        # a name or value in it may hold line breaks
        return " ".join(super().__str__().splitlines())


class RuleError(KitError):
    """A rule of a challenge track is broken (exit code 3, so that scripts can tell it from a
    typo).
    """

    exit_code = 3


class Stopped(KitError):
    """Ctrl-C or SIGTERM has ended a job that can go on later (exit code 130, as shells have it).

    Args:
        text: how far it came and where that lies.
        adding: flags that the same command needs to go on.
    """

    exit_code = 130

    def __init__(
        self,
        text: str = "stopped: what was finished is kept, and nothing else was replaced",
        adding: tuple[str, ...] = (),
    ) -> None:
        super().__init__(text)
        self.adding = adding


class SetError(KitError):
    """What is wrong concerns a training set as a whole: leaving one photograph out would not
    mend it.
    """
