"""How long a server asks the crawler to wait."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from scrapy.http import Response

from scrapers.middlewares import read_wait


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": " 5 "}, 5),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),  # long over
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "-1"}, 0),
        ({"Retry-After": b"\xff"}, 0),  # not ASCII
        ({"RateLimit": '"pages";r=0;t=9'}, 9),
    ],
)
def test_retry_after_is_read_as_seconds(header, seconds):
    assert read_wait(Response("http://x/", headers=header)) == seconds


def test_retry_after_may_be_a_date():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert read_wait(Response("http://x/", headers={"Retry-After": date})) == pytest.approx(90, abs=2)
