"""The classes of a catalog by split, as a table that a screen holds."""

from collections import Counter
from collections.abc import Sequence

from actionrec.schema import SPLITS
from actionrec.show.tables import Grid

SHOWN = 12  # classes; of more the largest and the smallest are shown
ENDS = 5  # of either


def by_split(labels: Sequence[str | None], splits: Sequence[str | None]) -> Grid:
    """Videos of each class and split, the largest class first. Videos without a label are a row of their own."""
    counts = Counter(zip(labels, splits, strict=True))
    names = [name for name in SPLITS if any(split == name for _, split in counts)]
    if None in splits:
        names.append("")
    sizes = Counter(label for label in labels if label is not None)
    order = sorted(sizes, key=lambda label: (-sizes[label], label))

    def row(title: str, members: Sequence[str | None]) -> list[object]:
        cells = [sum(counts[label, split or None] for label in members) for split in names]
        return [title, *cells, sum(cells)]

    shown = [row(label, [label]) for label in order]
    if len(order) > SHOWN:
        between = order[ENDS:-ENDS]
        shown[ENDS:-ENDS] = [
            row(f"({len(between):,} more, of {sizes[between[0]]:,} to {sizes[between[-1]]:,})", between)
        ]
    if None in labels:
        shown.append(row("(no label)", [None]))
    shown.append(row("all", [*order, None]))
    return Grid(["class", *(name or "no split" for name in names), "all"], shown)
