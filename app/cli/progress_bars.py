"""Progress bars for long work, on a terminal only: whatever reads the output of a command sees none of them."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

Report = Callable[[str, float], None]


class ProgressBars:
    """A bar for each piece of work that reports; they go away when all of them are done.

    Call it with the name of the work and the share of it that is done, 0 to 1.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, share: float) -> None:
        """Take in how far a piece of work is."""
        if self._shown is None:
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
            self._shown = Progress(*columns, console=self._console, transient=True)
            self._shown.start()
        if what not in self._tasks:
            self._tasks[what] = self._shown.add_task(what, total=1.0)
        self._shown.update(self._tasks[what], completed=share)
        if self._shown.finished:
            self.close()

    def close(self) -> None:
        """Take the bars away."""
        if self._shown is not None:
            self._shown.stop()
        self._shown = None
        self._tasks.clear()


def bars_on_a_terminal() -> ProgressBars | None:
    """Return bars on the terminal that the command's errors go to; None when they go elsewhere."""
    console = Console(stderr=True)
    return ProgressBars(console) if console.is_terminal else None
