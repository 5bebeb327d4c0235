"""Writes the table of permissions into its page: ``python -m tests.permissions_page``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from starlette.routing import BaseRoute, Mount, Route

from app.services.permissions import permissions_table

PAGE = Path(__file__).parent.parent / "docs/permissions.md"
_MARK = "<!-- written by `make permissions` -->\n"


def calls_of(routes: Iterable[BaseRoute]) -> list[str]:
    """Return routes as the table calls them: ``GET /v1/viewer``."""
    found = []
    for route in routes:
        if isinstance(route, Mount):
            found.append(f"GET {route.path}")
        else:
            assert isinstance(route, Route), f"{route} is of a kind that the table of permissions does not know"
            found += [f"{method} {route.path}" for method in sorted((route.methods or set()) - {"HEAD"})]
    return found


def page_with_table(page: str) -> str:
    """Return the page with the table as the code has it."""
    head, mark, _ = page.partition(_MARK)
    return f"{head}{mark}\n{permissions_table()}\n"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text()))
