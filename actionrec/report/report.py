"""report/index.html: everything that a root holds on one page, and what it does not hold yet."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actionrec import __version__
from actionrec.report import chapters
from actionrec.show import page
from actionrec.show.page import Block, Section
from actionrec.storage import layout, provenance
from actionrec.storage.root import Root

Chapter = Callable[[Root], Sequence[Block]]

# Anchor, title, what makes it (the stage it needs, the verb), and who writes it.
CHAPTERS: tuple[tuple[str, str, str, Chapter], ...] = (
    ("run", "What was run", "catalog", chapters.run),
    ("table1", "Table I: recurrent networks", "tune rnn", chapters.table1),
    ("table2", "Table II: the systems", "evaluate", chapters.table2),
    ("ablation", "Streams and ways to fuse them", "evaluate", chapters.ablation),
    ("svm", "The search over the SVM", "tune svm", chapters.svm),
    ("curves", "Learning curves", "train rnn", chapters.curves),
    ("confusion", "What is taken for what", "evaluate", chapters.confusion),
    ("classes", "Accuracy by class", "evaluate", chapters.classes),
    ("sampling", "Which frames are looked at", "extract", chapters.sampling),
    ("map", "A map of the videos", "train rnn", chapters.plane),
    ("anomaly", "The most unusual videos", "anomaly", chapters.anomaly),
    ("throughput", "How fast it was", "extract", chapters.throughput),
    ("failed", "Videos that failed", "extract", chapters.failed),
)


@dataclass(frozen=True)
class Report:
    """Where the page is, how large it is, and what it could not show."""

    url: str
    size_bytes: int
    missing: tuple[str, ...]  # titles of chapters that have not been run
    written: bool

    def facts(self) -> dict[str, object]:
        found: dict[str, object] = {"page": f"{self.url}, {self.size_bytes / 1e6:.1f} MB, opens in any browser"}
        return found | ({"not run yet": ", ".join(self.missing)} if self.missing else {})


def report(root: Root, *, on_stage: Callable[[str], None] = lambda text: None) -> Report:
    """Write the page, unless the one that is there was made from the same results. InputError: no catalog."""
    root.catalog()
    digest = _digest(root)
    if (stored := _stored(root)) is not None and f'content="{digest}"'.encode() in stored[:4096]:
        return _report(root, stored, False)
    sections = []
    for name, title, verb, chapter in CHAPTERS:
        on_stage(title)
        blocks = chapter(root)
        sections.append(Section(name, title, blocks, f"actionrec {verb} --root {root.store.url}"))
    data = page.html("actionrec", provenance.dataset(root), digest, sections).encode()
    root.store.put(layout.REPORT, data)
    return _report(root, data, True)


def _report(root: Root, data: bytes, written: bool) -> Report:
    missing = tuple(
        title
        for name, title, *_ in CHAPTERS
        if f'id="{name}">\n<h2>{title}</h2>\n<p class="note">Not run'.encode() in data
    )
    return Report(f"{root.store.url}/{layout.REPORT}", len(data), missing, written)


def _stored(root: Root) -> bytes | None:
    try:
        return root.store.read(layout.REPORT)
    except FileNotFoundError:
        return None


def _digest(root: Root) -> str:
    """A hash of everything that the page is made from: stages, tables, and what has been committed."""
    found = hashlib.sha256(f"{__version__} {root.config}".encode())
    small = [key for prefix in (layout.STAGES, layout.TABLES) for key in sorted(root.output.sizes(prefix))]
    for key in (layout.CATALOG, *small):
        found.update(key.encode() + root.output.read(key))
    for prefix in (layout.STATUS, layout.EMBEDDINGS, layout.MODELS):
        found.update(str(sorted(root.output.sizes(prefix).items())).encode())
    return found.hexdigest()[:16]
