"""The one exception a user may meet: what happened, what was expected, what to do next.

    raise DeepicdError("~/mimiciv holds no hosp/ folder.", "Point at the version folder: --mimic ~/mimiciv/3.1")

`cli.main` prints it on stderr and exits with 1. Anything else that escapes is a bug of ours and keeps its traceback.
A message never carries a note, a row or an id of a credentialed record: counts and reasons only.
"""


class DeepicdError(Exception):
    """A mistake that the user can mend; `advice` is the next thing to do, a command where there is one."""

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(f"{what}\n{advice}" if advice else what)
        self.what = what
        self.advice = advice


class BadCode(DeepicdError, ValueError):
    """A text that cannot be an ICD-10-CM code."""
