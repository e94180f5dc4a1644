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


def advise_install(extra: str = "") -> str:
    """Return the command that installs the packages of an extra, from where deepicd itself was installed.

    A clone: pip install -e '/home/me/deepicd[pdf]'; a wheel: pip install 'deepicd[pdf] @ file:///tmp/deepicd-1.whl'.
    """
    import shlex
    from importlib import metadata
    from urllib.parse import unquote, urlsplit

    from deepicd.parsing import parse_json

    wanted = f"[{extra}]" if extra else ""
    try:  # PEP 610: pip and uv say where a package came from, unless it was an index
        source = parse_json(metadata.distribution("deepicd").read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        return f"pip install -e {shlex.quote(f'.{wanted}')}"
    url = source.get("url", "")
    if (folder := source.get("dir_info")) is not None:
        path = unquote(urlsplit(url).path)
        return f"pip install {'-e ' if folder.get('editable') else ''}{shlex.quote(f'{path}{wanted}')}"
    if version := source.get("vcs_info"):
        url = f"{version['vcs']}+{url}@{version['commit_id']}"
    return f"pip install {shlex.quote(f'deepicd{wanted} @ {url}' if url else f'deepicd{wanted}')}"
