"""report/index.html: everything that a root holds on one page, and what it does not hold yet."""

import datetime
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actionrec import __version__
from actionrec.report import classes, compared, result, run, sampling, unusual, work
from actionrec.report.findings import Findings
from actionrec.show import page
from actionrec.show.page import Block, Heading, Section, Stamp
from actionrec.storage import layout, provenance
from actionrec.storage.root import Root

Chapter = Callable[[Findings], Sequence[Block]]

# Anchor, title, what makes it (the stage it needs, the verb), and who writes it. The first is the first screen.
CHAPTERS: tuple[tuple[str, str, str, Chapter], ...] = (
    ("result", "Result", "evaluate", result.result),
    ("mistakes", "Wrong test videos", "evaluate", classes.mistakes),
    ("confusion", "What is taken for what", "evaluate", classes.confusion),
    ("classes", "The classes", "evaluate", classes.classes),
    ("table2", "Table II: the systems", "evaluate", compared.table2),
    ("ablation", "Streams and ways to fuse them", "evaluate", compared.ablation),
    ("table1", "Table I: recurrent networks", "tune rnn", compared.table1),
    ("svm", "The search over the SVM", "tune svm", compared.svm),
    ("anomaly", "Unusual videos", "anomaly", unusual.anomaly),
    ("sampling", "Which frames are looked at", "extract", sampling.sampling),
    ("curves", "Learning curves", "train rnn", work.curves),
    ("throughput", "How fast it was", "extract", work.throughput),
    ("failed", "Videos that failed", "extract", work.failed),
    ("run", "What was run", "catalog", run.run),
)


@dataclass(frozen=True)
class Report:
    """Where the page is, how large it is, and what it could not show."""

    url: str
    size_bytes: int
    missing: tuple[str, ...]  # titles of chapters that have not been run
    lacking: int  # videos of which frames cannot be had now
    kept: bool  # whether the page is an earlier one of the same results, which has more of these frames
    written: bool

    def facts(self) -> dict[str, object]:
        found: dict[str, object] = {"page": f"{self.url}, {self.size_bytes / 1e6:.1f} MB, opens in any browser"}
        if self.lacking:
            what = "the page stays as it was, with its pictures" if self.kept else "the page lacks their pictures"
            found["videos"] = f"{self.lacking} cannot be read now: {what}; once they can, run `actionrec report` again"
        return found | ({"not run yet": ", ".join(self.missing)} if self.missing else {})


def report(root: Root, *, on_stage: Callable[[str], None] = lambda text: None) -> Report:
    """Write the page, unless the one that is there was made from the same, or has pictures that this one would lack.

    A page that lacks pictures is made again, in case that its videos are there now. One of other results is always
    replaced, also where its videos are gone. InputError: no catalog.
    """
    root.catalog()
    results, settings = _results(root), _hash(f"{__version__} {run.settings(root)}".encode())
    stored = _stored(root)
    there = None if stored is None else page.stamp_of(stored)
    if stored is not None and there == Stamp(results, settings, 0):
        return _report(root, stored, 0)
    findings = Findings(root)
    sections = _sections(findings, on_stage)
    stamp = Stamp(results, settings, len(findings.lacking), _day(there, results))
    if stored is not None and there is not None and _is_as_good(there, stamp):
        return _report(root, stored, stamp.lacking, kept=there.lacking < stamp.lacking)
    data = page.html(_heading(root, stamp.day), stamp, sections).encode()
    root.store.put(layout.REPORT, data)
    return _report(root, data, stamp.lacking, written=True)


def _day(there: Stamp | None, results: str) -> str:
    """When a page of these results was first made: remade, it keeps its day."""
    if there is not None and there.results == results:
        return there.day
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _heading(root: Root, day: str) -> Heading:
    name, _, sizes = provenance.dataset(root).partition(": ")
    date = datetime.date.fromisoformat(day)
    return Heading("actionrec report", name, [f"{date.day} {date:%B %Y} · {sizes}"])


def _is_as_good(there: Stamp, stamp: Stamp) -> bool:
    """Whether a page is at least what one with `stamp` would be."""
    return there == stamp or (there.results == stamp.results and there.lacking < stamp.lacking)


def _sections(findings: Findings, on_stage: Callable[[str], None]) -> list[Section]:
    sections = []
    for name, title, verb, chapter in CHAPTERS:
        on_stage(title)
        sections.append(Section(name, title, chapter(findings), f"actionrec {verb} --root {findings.root.store.url}"))
    return sections


def _report(root: Root, data: bytes, lacking: int, *, kept: bool = False, written: bool = False) -> Report:
    missing = tuple(title for name, title, *_ in CHAPTERS if f'<section id="{name}" class="missing">'.encode() in data)
    return Report(f"{root.store.url}/{layout.REPORT}", len(data), missing, lacking, kept, written)


def _stored(root: Root) -> bytes | None:
    try:
        return root.store.read(layout.REPORT)
    except FileNotFoundError:
        return None


def _results(root: Root) -> str:
    """A hash of the results that the page shows: stages, tables, and what has been committed."""
    found = hashlib.sha256()
    small = [key for prefix in (layout.STAGES, layout.TABLES) for key in sorted(root.output.sizes(prefix))]
    for key in (layout.CATALOG, *small):
        found.update(key.encode() + root.output.read(key))
    for prefix in (layout.STATUS, layout.EMBEDDINGS, layout.MODELS):
        found.update(str(sorted(root.output.sizes(prefix).items())).encode())
    return found.hexdigest()[:16]


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
