"""``openvbs repo verify-store``: whether a folder or bucket can hold repositories at all."""

from contextlib import closing

import click

from openvbs.cli.tables import print_json, print_table
from openvbs.stores.base import StoreError
from openvbs.stores.urls import scratch_store
from openvbs.stores.verify import Verdict, verify_store


@click.command("verify-store")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
@click.argument("url")
def verify_store_command(url: str, *, as_json: bool) -> None:
    """See whether the folder or bucket at URL keeps what a repository relies on. Exits with 1 if it does not.

    Needs no repository and no key, and may run beside everything else: it writes about 40 MiB under names of its own
    and removes them again. Do this before the first backup goes to a server that you do not know.
    """
    with scratch_store(url) as scratch, closing(scratch) as store:
        verdicts = list(verify_store(store))
    if as_json:
        print_json(
            [{"promise": verdict.promise, "kept": not verdict.broken, "why": verdict.broken} for verdict in verdicts]
        )
    else:
        print_table(("", "promise", "why not"), (_row(verdict) for verdict in verdicts))
    broken = sum(1 for verdict in verdicts if verdict.broken)
    if broken:
        raise StoreError(f"{broken} of {len(verdicts)} promises are broken: do not keep backups in {url}")


def _row(verdict: Verdict) -> tuple[str, str, str]:
    return ("broken" if verdict.broken else "kept", verdict.promise, verdict.broken or "")
