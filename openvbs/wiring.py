"""Config -> concrete objects: the only place that names concrete classes."""

from collections.abc import Callable

from openvbs.actions.afterwards import Afterwards
from openvbs.actions.service import Service, Work, do_now
from openvbs.api.app import create_app
from openvbs.api.middleware import Wsgi
from openvbs.api.wire import Settings
from openvbs.auth.keystone import KeystoneTokens
from openvbs.auth.permissions import Permissions
from openvbs.config import Config
from openvbs.db.session import Database
from openvbs.engine.keys import load_root_key
from openvbs.identity.authtoken import authtoken_conf
from openvbs.jobs.notifications import Notifications
from openvbs.jobs.parts import Parts
from openvbs.jobs.queue import JobQueue
from openvbs.jobs.repositories import Repositories
from openvbs.jobs.scheduler import Scheduler
from openvbs.jobs.worker import Worker
from openvbs.stores.urls import open_store
from openvbs.volumes.files import VolumeFiles
from openvbs.volumes.reserve import Reserve


def build_service(config: Config, *, later: Callable[[Work], object] = do_now) -> Service:
    """What actions work with. The database must have been migrated and the queue prepared."""
    database = Database(config.database_url)
    return Service(
        later=later,
        database=database,
        queue=JobQueue(database),
        permissions=Permissions(config.policy_file),
        limits=config.limits,
        run_rules=config.run_rules,
        audit_rules=config.audit_rules,
    )


def build_app(config: Config) -> Wsgi:
    """The API of one process, with its own database connections and its own cache of tokens."""
    settings = Settings(
        public_url=config.public_url,
        body_bytes_max=config.limits.body_bytes_max,
        page_items_max=config.limits.page_items_max,
    )
    service = build_service(config, later=Afterwards().do)
    return create_app(service, settings, KeystoneTokens(authtoken_conf(config)))


def build_worker(config: Config) -> Worker:
    """The jobs' side of one process. The database must have been migrated and the queue prepared."""
    service = build_service(config)
    repositories = Repositories(
        service.database,
        open_store(config.store_url),
        lambda: load_root_key(config.root_key_file),
        cache=config.data_dir / "cache" / "index",
    )
    parts = Parts(
        database=service.database,
        queue=JobQueue(service.database),
        files=VolumeFiles(config.data_dir),
        reserve=Reserve(config.data_dir / "reserve"),
        repositories=repositories,
        notifies=config.audit_rules.notifies,
    )
    return Worker(
        parts,
        Scheduler(service),
        Notifications(service.database, config.notify_file),
        directory=config.data_dir / "workers",
        jobs_at_once=config.jobs_at_once,
    )
