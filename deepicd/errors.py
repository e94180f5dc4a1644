"""The exception that users see: what happened, what was expected, what to do next.

    raise DeepicdError("~/mimiciv holds no hosp/ folder.", "Point at the version folder: --mimic ~/mimiciv/3.1")

`cli.main` prints it on stderr and exits with 1. Any other exception is a bug and keeps its traceback.
A message never contains a note, a row or an id of a credentialed record: counts and reasons only.
"""


class DeepicdError(Exception):
    """A problem that the user can fix; `advice` is the next thing to do, if possible a command."""

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(f"{what}\n{advice}" if advice else what)
        self.what = what
        self.advice = advice


class BadCode(DeepicdError, ValueError):
    """A text that is not an ICD-10-CM code."""
