"""``python -m app.cli`` is ``segment-gateway``."""

from app.cli import main

main()
