"""``python -m openvbs`` is ``openvbs``; the supervisor starts its children this way, whatever PATH says."""

from openvbs.cli.main import main

main()
