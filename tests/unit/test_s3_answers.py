"""What the S3 store makes of answers that a good server gives rarely or never."""

import pytest

from openvbs.stores.base import NameTaken, ObjectMissing, StoreError, StoreFull, StoreUnavailable
from openvbs.stores.retry import RetryStore
from openvbs.stores.s3 import CannotCreate, S3Store
from tests.support.s3 import CLOSE, odd_server


@pytest.fixture
def server(monkeypatch):
    with odd_server() as server:
        server.environment(monkeypatch)
        yield server


@pytest.fixture
def store(server):
    return S3Store("bucket", "some/prefix")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((503, "SlowDown"), StoreUnavailable),
        ((500, "InternalError"), StoreUnavailable),
        ((CLOSE, ""), StoreUnavailable),
        ((507, "XMinioStorageFull"), StoreFull),
        ((403, "QuotaExceeded"), StoreFull),
        ((403, "SignatureDoesNotMatch"), StoreError),
        ((404, "NoSuchBucket"), StoreError),
        ((404, "NoSuchKey"), ObjectMissing),
    ],
)
@pytest.mark.parametrize("verb", ["put", "get"])
def test_errors_say_who_must_act(server, store, answer, error, verb):
    store.put("name", b"data")
    server.answers = [answer]
    with pytest.raises(error) as caught:
        store.put("name", b"other") if verb == "put" else store.get("name")
    assert type(caught.value) is error
    assert "secret" not in str(caught.value)
    assert "<" not in str(caught.value)
    assert answer[1] in str(caught.value) or error is ObjectMissing or answer[1] == "NoSuchBucket"
    assert store.get("name") == b"data"


def test_one_call_is_one_request(server, store):
    """Else the library's tries would multiply with ours."""
    store.put("name", b"data")
    server.requests.clear()
    server.answers = [(503, "SlowDown")]
    with pytest.raises(StoreUnavailable):
        store.get("name")
    assert server.requests == ["GET /bucket/some/prefix/name"]


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("answer", [(503, "SlowDown"), (CLOSE, ""), (409, "ConditionalRequestConflict")])
def test_what_passes_is_tried_again_in_one_place(server, store, answer, times):
    waits: list[float] = []
    patient = RetryStore(store, sleep=waits.append)
    patient.create("first", b"x")
    server.answers = [answer] * times
    patient.create("name", b"data")
    assert len(waits) == times
    assert patient.get("name") == b"data"
    with pytest.raises(NameTaken):
        patient.create("name", b"other")


def test_a_server_that_ignores_if_none_match_is_refused_before_anything_is_created(server, store):
    server.knows_if_none_match = False
    server.objects["/bucket/some/prefix/name"] = b"precious"
    for _ in range(2):
        with pytest.raises(CannotCreate, match="ignores If-None-Match"):
            store.create("name", b"other")
    assert server.objects == {"/bucket/some/prefix/name": b"precious"}


def test_a_good_server_is_asked_once_and_keeps_nothing_of_it(server, store):
    store.create("a", b"x")
    asked = len(server.requests)
    store.create("b", b"x")
    assert len(server.requests) == asked + 1
    assert list(server.objects) == ["/bucket/some/prefix/a", "/bucket/some/prefix/b"]
