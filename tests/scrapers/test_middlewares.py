"""How long a server asks to be left alone."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from scrapy.http import Response

from scrapers.middlewares import pause_asked


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": " 5 "}, 5),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),  # long over
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "-1"}, 0),
    ],
)
def test_retry_after_is_read_as_seconds(header, seconds):
    assert pause_asked(Response("http://x/", headers=header)) == seconds


def test_retry_after_may_be_a_date():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert pause_asked(Response("http://x/", headers={"Retry-After": date})) == pytest.approx(90, abs=2)
