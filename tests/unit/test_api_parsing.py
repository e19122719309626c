"""The small parsers of the HTTP layer."""

import io
from datetime import UTC, datetime, timedelta, timezone

import pytest
from falcon import Request, testing
from hypothesis import given
from hypothesis import strategies as st

from openvbs.api import body, ids, microversion, query, times
from openvbs.api.wire import WireError


def request(raw: bytes, **headers: str) -> Request:
    environ = testing.create_environ(method="POST", body=raw, headers=headers)
    return Request(environ)


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])))
def test_timestamps_are_utc_with_their_digits_and_without_a_zone(moment: datetime) -> None:
    text = times.t6(moment)
    assert len(text.split(".")[1]) == 6
    assert datetime.fromisoformat(text).replace(tzinfo=UTC) == moment
    job = times.t3z_or_none(moment)
    assert job == f"{text[:-3]}Z"


def test_no_moment_is_null() -> None:
    assert times.t6_or_none(None) is times.t3z_or_none(None) is None


@given(st.uuids())
def test_ids_in_any_case_and_job_ids_without_dashes(value: object) -> None:
    text = str(value)
    assert ids.uuid_or_none(text.upper()) == ids.job_id_or_none(text.upper().replace("-", "")) == text
    assert ids.uuid_or_none(text.replace("-", "")) is None


@pytest.mark.parametrize(
    "value",
    [None, 1, "", "x", [], "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3\n", "\uff13b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"],
)
def test_what_is_no_uuid(value: object) -> None:
    assert ids.uuid_or_none(value) is None


def test_queries() -> None:
    values = query.parse("a=1&b=&c&d=%7E+x&e~=y")
    assert values == {"a": "1", "b": "", "c": "", "d": "~ x", "e~": "y"}
    assert query.qint(values, "a", default=7) == 1
    assert query.qint(values, "z", default=7) == 7
    assert query.limit({"limit": "5000"}, 1000) == 1000
    assert query.limit({}, 1000) == 1000


@pytest.mark.parametrize("text", ["a=1&a=1", "a=%00", "%00=a", "a=%FF", "&".join(f"k{i}=v" for i in range(101))])
def test_queries_that_cannot_be_read(text: str) -> None:
    with pytest.raises(WireError) as caught:
        query.parse(text)
    assert caught.value.status == 400


@given(st.text())
def test_any_header_is_a_version_in_range_or_refused(text: str) -> None:
    try:
        version = microversion.parse(text)
    except (microversion.VersionMalformed, microversion.VersionUnsupported):
        return
    assert microversion.VERSION_MIN <= version <= microversion.VERSION_MAX


@given(st.text() | st.from_regex(r"[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True))
def test_any_version_of_ours_is_in_range_or_refused(text: str) -> None:
    test_any_header_is_a_version_in_range_or_refused.hypothesis.inner_test(f"volume {text}")  # type: ignore[attr-defined]


class Dribble(io.BytesIO):
    """A stream that gives one byte at a time, as sockets may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(1, size if size is not None and size >= 0 else 1))


def test_a_body_is_read_whole_however_it_comes() -> None:
    wanted = request(b'{"a": 1}', **{"Content-Type": "application/json"})
    wanted.env["wsgi.input"] = Dribble(b'{"a": 1} and the next request')
    assert body.read(Request(wanted.env), bytes_max=100) == b'{"a": 1}'


def test_a_chunked_body_is_bounded_too() -> None:
    environ = testing.create_environ(method="POST", headers={"Transfer-Encoding": "chunked"})
    environ.pop("CONTENT_LENGTH", None)
    environ["wsgi.input"] = Dribble(b"[" * 50)
    assert body.read(Request(environ), bytes_max=50) == b"[" * 50
    environ["wsgi.input"] = Dribble(b"[" * 51)
    with pytest.raises(body.BodyTooLarge):
        body.read(Request(environ), bytes_max=50)


def test_a_body_that_ends_early_is_refused() -> None:
    wanted = request(b'{"a": 1}')
    wanted.env["wsgi.input"] = io.BytesIO(b'{"a"')
    with pytest.raises(body.BodyMalformed):
        body.read(Request(wanted.env), bytes_max=100)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_refused(raw: bytes) -> None:
    try:
        decoded = body.decode(raw, dict)
    except body.BodyMalformed:
        return
    assert isinstance(decoded, dict)


def test_a_backslash_before_u0000_is_no_nul() -> None:
    assert body.decode(rb'{"a": "\\u0000"}', dict) == {"a": r"\u0000"}
    with pytest.raises(body.BodyMalformed):
        body.decode(rb'{"a": ["\u0000"]}', dict)
    with pytest.raises(body.BodyMalformed):
        body.decode(rb'{"\u0000": 1}', dict)
