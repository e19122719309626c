"""Log lines: what is on them, and on whose."""

import contextvars
import json
import logging
from collections.abc import Iterator

import pytest

from openvbs import logs


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("openvbs").setLevel(logging.NOTSET)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_carries_what_is_bound_where_it_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", as_json=True, process="worker")
    log = logging.getLogger("openvbs.jobs")
    with logs.bind(request_id="req-1"):
        with logs.bind(job_id="j"):
            log.info("inside %s", "ü")
            here = contextvars.copy_context()
        log.warning("outside")
    log.info("nowhere")
    here.run(log.info, "copied")
    inside, outside, nowhere, copied = lines(capsys)
    assert (inside["message"], inside["level"], inside["process"]) == ("inside ü", "info", "worker")
    assert (inside["request_id"], inside["job_id"], inside["logger"]) == ("req-1", "j", "openvbs.jobs")
    assert (outside["request_id"], outside["level"], "job_id" in outside) == ("req-1", "warning", False)
    assert "request_id" not in nowhere
    assert (copied["request_id"], copied["job_id"]) == ("req-1", "j")


def test_an_error_is_one_line_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", as_json=True, process="api")
    try:
        int("xxx")
    except ValueError:
        logging.getLogger("openvbs").exception("it failed")
    (line,) = lines(capsys)
    assert line["message"] == "it failed"
    assert "ValueError: invalid literal" in line["error"]


def test_libraries_are_heard_from_warning_on_and_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    library = logging.getLogger("alibrary")
    library.addHandler(logging.NullHandler())
    library.propagate = False  # as Granian and DBOS set up theirs
    logs.configure("info", as_json=True, process="api")
    library.info("chatter")
    library.warning("trouble")
    logs.configure("debug", as_json=True, process="api")
    library.debug("detail")
    assert [line["message"] for line in lines(capsys)] == ["trouble", "detail"]


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", as_json=False, process="serve")
    with logs.bind(job_id="j"):
        logging.getLogger("openvbs").info("100% done")
    logging.getLogger("openvbs").info("plain")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("INFO    serve: 100% done  [job_id=j]")
    assert second.endswith("INFO    serve: plain")
