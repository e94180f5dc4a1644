"""Render templates from records and counts. A template that names an unknown field is an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepicd.errors import DeepicdError
from deepicd.small_counts import WITHHELD

TEMPLATES = Path(__file__).parent / "templates"


def render_template(template: Path | str, fields: Mapping[str, Any]) -> str:
    """Render one of our templates by name, or a user's file. Raises DeepicdError for an unknown field.

    huggingface_hub's `from_template` would render an unknown field as nothing.
    """
    import jinja2

    own = isinstance(template, Path)
    if own and not Path(template).is_file():
        raise DeepicdError(f"There is no template {template}.", f"Copy one of those in {TEMPLATES} and change it.")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(template).parent, TEMPLATES] if own else TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # it is Markdown
    )
    environment.filters |= {
        "count": format_count,
        "percent": format_percent,
        "share": format_share,
        "decimal": format_decimal,
    }
    name = Path(template).name if own else str(template)
    try:
        return environment.get_template(name).render(**fields)
    except jinja2.UndefinedError as error:
        raise DeepicdError(
            f"{_locate_error(error, name)} names a field that does not exist: {error.message}.",
            f"The fields of such a card: {', '.join(sorted(fields))}.",
        ) from error
    except jinja2.TemplateSyntaxError as error:
        raise DeepicdError(
            f"{error.name}, line {error.lineno}: this is not a valid template: {error.message}", "Fix that line."
        ) from error
    except (jinja2.TemplateError, TypeError, ValueError, KeyError, LookupError) as error:
        raise DeepicdError(
            f"{_locate_error(error, name)} cannot be filled in: {error}.",
            "Compare it with the templates in cards/templates.",
        ) from error


def _locate_error(error: BaseException, name: str) -> str:
    """Return file and line of the template where an error occurred, from the traceback."""
    import traceback

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".j2")]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}," if frames else name


def format_count(value: int | None) -> str:
    """Return a count with thousands separators.

    >>> format_count(1234), format_count(None)
    ('1,234', 'withheld')
    """
    return WITHHELD if value is None else f"{value:,}"


def format_percent(part: float) -> str:
    """Return a share of 1 in percent.

    >>> format_percent(0.1234)
    '12.3 %'
    """
    return f"{100 * part:.1f} %"


def format_share(part: int | None, whole: int | None) -> str:
    """Return a count with its share of the whole.

    >>> format_share(1000, 3000), format_share(1000, None), format_share(None, 3000)
    ('1,000 (33.3 %)', '1,000', 'withheld')
    """
    return f"{part:,} ({format_percent(part / whole)})" if part is not None and whole else format_count(part)


def format_decimal(value: float | None, places: int = 1) -> str:
    """Return a number with `places` decimal places."""
    return WITHHELD if value is None else f"{value:.{places}f}"
