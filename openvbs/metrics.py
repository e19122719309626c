"""Counters for Prometheus, shared by all processes of the service through a folder.

prometheus_client decides at its import whether numbers live in memory or in that folder: ``PROMETHEUS_MULTIPROC_DIR``
must be in the environment before this module is imported. Labels never hold ids, so their number stays small.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.values import MutexValue, ValueClass

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = CONTENT_TYPE_LATEST

REQUESTS = Counter("openvbs_requests_total", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram("openvbs_request_seconds", "Time to answer a request.", ["method", "route"])
JOBS = Counter("openvbs_jobs_total", "Jobs that ended.", ["kind", "result"])
BYTES_READ = Counter("openvbs_bytes_read_total", "Bytes read from volumes by backups.")
BYTES_STORED = Counter("openvbs_bytes_stored_total", "Bytes written to stores by backups.")
BYTES_DEDUPLICATED = Counter("openvbs_bytes_deduplicated_total", "Bytes that backups found already stored.")
BYTES_RESTORED = Counter("openvbs_bytes_restored_total", "Bytes written to volumes by restores.")
DAMAGED = Counter("openvbs_backups_damaged_total", "Backups that a check of the service found damaged.")
STORE_PROBLEMS = Counter("openvbs_store_problems_total", "Damage in stores that checks of the service found.")
STORE_ERRORS = Counter("openvbs_store_errors_total", "Store operations that failed for good.", ["kind"])


def prepare(directory: Path) -> None:
    """Empty the folder of the numbers of an earlier start. Call before any process of the service runs."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        file.unlink()


def render(jobs_by_status: Mapping[str, int]) -> bytes:
    """All numbers of all processes as Prometheus reads them, with the queue's length as of now."""
    registry = REGISTRY
    if ValueClass is not MutexValue:  # numbers live in the folder
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    now = CollectorRegistry()
    now.register(_OpenJobs(jobs_by_status))
    return generate_latest(registry) + generate_latest(now)


class _OpenJobs(Collector):
    """A number that one look at the database gives: nobody has to keep it, so it lies in no folder."""

    def __init__(self, jobs_by_status: Mapping[str, int]) -> None:
        self._jobs_by_status = jobs_by_status

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("openvbs_jobs_open", "Jobs that wait or run.", labels=["status"])
        for status, count in self._jobs_by_status.items():
            family.add_metric([status], count)
        yield family
