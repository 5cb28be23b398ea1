"""What a person sees while work runs: one progress display, a summary of one screen, errors of one sentence."""

import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table

from actionrec.show import words
from actionrec.show.tables import Grid

LINE_EVERY_S = 10.0  # where there is no terminal to redraw
SHOWN_FAILURES = 8
WIDTH = 160  # of tables where there is no terminal

PASSED = "\n\u200c\u200d"  # a new line, and joiners, which belong to the spelling of some languages


class Printable(Console):
    """Writes nothing to a terminal that would steer it: names of classes and files are anybody's."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def printable(text: str) -> str:
    """The text with a replacement character for each control character; lines stay lines."""
    return "".join(c if c.isprintable() or c in PASSED else "\ufffd" for c in text)


out = Printable(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)
err = Printable(highlight=False, soft_wrap=True, stderr=True)


class Display:
    """One bar with counts, rate and time left; on a terminal redrawn, elsewhere a line every ten seconds."""

    def __init__(self, unit: str) -> None:
        self._unit, self._text = unit, "starting"
        self._started = self._last_line = time.monotonic()
        self._first: int | None = None
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=err,
            disable=not err.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None, note="")

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def stage(self, text: str, unit: str | None = None) -> None:
        """What is done now; another unit, or another network's epochs, are counted and timed anew."""
        self._unit, self._first = unit or self._unit, None
        self._bar.update(self._task, description=escape(text), completed=0, total=None, note="")
        self._text = text

    def update(self, done: int, total: int, failed: int = 0, note: str = "") -> None:
        """So many of so many units are done; `note` says what else is known."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._started = done, now
        rate = (done - self._first) / max(now - self._started, 1e-9)
        notes = [words.rate(rate, self._unit)] if rate > 0 else []
        notes += [f"{failed} failed"] if failed else []
        notes += [note] if note else []
        self._bar.update(self._task, completed=done, total=total, note=", ".join(notes))
        if not err.is_terminal and now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            notes += [f"{words.duration((total - done) / rate)} left"] if rate > 0 else []
            err.print(", ".join([f"{self._text}: {done} of {total} {self._unit}", *notes]), markup=False)


def summary(title: str, facts: Mapping[str, object], failures: Mapping[str, tuple[str, str]]) -> None:
    """A heading, a few facts, and the failures by reason with the first of them named."""
    out.print(f"\n[bold]{escape(title)}[/bold]")
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        out.print(f"  {name:<{width}}  {escape(str(value))}")
    for reason, count in Counter(reason for reason, _ in failures.values()).most_common():
        out.print(f"  [red]{count} failed: {reason}[/red]")
    for video_id, (reason, detail) in list(failures.items())[:SHOWN_FAILURES]:
        out.print(f"    {video_id}: {reason}: {detail}", markup=False)
    if len(failures) > SHOWN_FAILURES:
        out.print(f"    ... and {len(failures) - SHOWN_FAILURES} more in the status table")


def grid(shown: Grid) -> None:
    """A table, numbers to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for place, name in enumerate(shown.columns):
        table.add_column(escape(name), justify="right" if shown.is_numeric(place) else "left")
    for row in shown.cells():
        table.add_row(*map(escape, row))
    out.print(Padding(table, (1, 0, 1, 2)), soft_wrap=False)


def data(line: str) -> None:
    """A line for programs, on standard output as it is; what its encoding lacks is escaped as Python does.

    A display that runs on a terminal stands in for sys.stdout and would write the line beside itself: past it.
    """
    stream = getattr(sys.stdout, "rich_proxied_file", sys.stdout)
    encoding = stream.encoding or "utf-8"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def steps(count: int) -> Callable[[str], None]:
    """Takes the name of each step as it begins, and says which of how many it is."""
    numbers = itertools.count(1)
    return lambda name: err.print(f"[bold]step {next(numbers)} of {count}: {escape(name)}[/bold]")


def say(sentence: str) -> None:
    """Beside the display, which goes on."""
    err.print(sentence, markup=False)


def warn(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        err.print(f"[yellow]warning:[/yellow] {escape(sentence)}")


def fail(sentence: str) -> None:
    err.print(f"[bold red]error:[/bold red] {escape(sentence)}")
    sys.stderr.flush()
