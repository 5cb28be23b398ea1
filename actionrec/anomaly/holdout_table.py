"""tables/anomaly_holdout: how well a class stands out that nothing has been trained on, one row a class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from actionrec import schema
from actionrec.anomaly.autoencoder import Separation, separation
from actionrec.anomaly.detector import REMEDY, Detector, Videos, check_class, normal_classes
from actionrec.catalog.evidence import caution
from actionrec.errors import InputError
from actionrec.show import tables
from actionrec.show.evaluation import marked
from actionrec.storage import layout, provenance
from actionrec.storage.root import Root, record
from actionrec.storage.samples import class_labels
from actionrec.storage.store import put_changed
from actionrec.storage.streams import random_networks

NAME = "anomaly_holdout"
Row = Mapping[str, Any]  # of schema.ANOMALY_HOLDOUT


@dataclass(frozen=True)
class HoldoutOutcome:
    """How one seed's scores tell the held-out class's test clips from the normal ones."""

    autoencoder: Separation
    neighbors: Separation
    n_not_scored: int


def check_held(root: Root, label: str, catalog: pa.Table) -> list[str]:
    """The normal classes without `label`. InputError: it is no class, has no test clips, or leaves no normal class."""
    classes = class_labels(catalog)
    check_class("--holdout", label, classes)
    if label not in _test_labels(catalog):
        raise InputError(f"--holdout: the class {label!r} has no test clips, so nothing can be said of it")
    return normal_classes(root.without(label), classes)


def outcome(detector: Detector, videos: Videos, label: str, normal: Sequence[str]) -> HoldoutOutcome:
    """The test clips of `label` against those of the normal classes; `videos` knows both by their labels."""
    held, other, known = videos.of("test", [label]), videos.of("test", normal), detector.scorable(videos)
    (held_scores, held_distances), (other_scores, other_distances) = (
        detector.scores(videos.vectors.rows(side & known)) for side in (held, other)
    )
    return HoldoutOutcome(
        separation(held_scores, other_scores),
        separation(held_distances, other_distances),
        int(((held | other) & ~known).sum()),
    )


def is_finished(root: Root, label: str, normal: Sequence[str], saw_class: bool, catalog: pa.Table) -> bool:
    """Whether the table has a row for these seeds and as many test clips as there are now."""
    n_test = sum(each in {label, *normal} for each in _test_labels(catalog))
    return any(
        row["class"] == label
        and row["networks_saw_class"] == saw_class
        and row["seeds"] == list(root.config.seeds)
        and row["n_held"] + row["n_other"] + row["n_not_scored"] == n_test
        for row in read_table(root).to_pylist()
    )


def add_row(root: Root, label: str, saw_class: bool, outcomes: Sequence[HoldoutOutcome]) -> pa.Table:
    """Put the means of the seeds' outcomes into the table, in the place of an older row; other rows stay."""
    mine = _row(label, saw_class, root.config.seeds, outcomes)
    key = (label, saw_class)
    others = [row for row in read_table(root).to_pylist() if (row["class"], row["networks_saw_class"]) != key]
    rows = sorted([*others, mine], key=lambda row: (row["networks_saw_class"], row["class"]))
    table = pa.Table.from_pylist(rows, schema=schema.ANOMALY_HOLDOUT)
    write(root, NAME, table, _markdown(root, rows))
    return table


def read_table(root: Root) -> pa.Table:
    """The table [rows, schema.ANOMALY_HOLDOUT]; empty where there is none yet."""
    name = f"{root.store.url}/{layout.table(NAME)}"
    try:
        data = root.store.read(layout.table(NAME))
    except FileNotFoundError:
        return schema.ANOMALY_HOLDOUT.empty_table()
    table = schema.from_parquet(data, schema.ANOMALY_HOLDOUT, name)
    if schema.fingerprint_of(data) != record(root, "anomaly")["fingerprint"]:
        raise InputError(f"{name}: made with other settings or networks; {REMEDY}")
    return table


def write(root: Root, name: str, table: pa.Table, markdown: str) -> None:
    """Store a table of this stage as Parquet and Markdown, unless both are there already."""
    fingerprint = record(root, "anomaly")["fingerprint"]
    files = {"parquet": schema.to_parquet(table, fingerprint), "md": markdown.encode()}
    for kind, data in files.items():
        key = layout.table(name, kind)
        put_changed(root.output, key, data)


def _test_labels(catalog: pa.Table) -> list[str | None]:
    pairs = zip(catalog["label"].to_pylist(), catalog["split"].to_pylist(), strict=True)
    return [label for label, split in pairs if split == "test"]


def _row(label: str, saw_class: bool, seeds: Sequence[int], outcomes: Sequence[HoldoutOutcome]) -> Row:
    first = outcomes[0]
    figures = {
        "auroc": [each.autoencoder.auroc for each in outcomes],
        "average_precision": [each.autoencoder.average_precision for each in outcomes],
        "neighbor_auroc": [each.neighbors.auroc for each in outcomes],
        "neighbor_average_precision": [each.neighbors.average_precision for each in outcomes],
    }
    return {
        "class": label,
        "networks_saw_class": saw_class,
        "n_held": first.autoencoder.n_unusual,
        "n_other": first.autoencoder.n_usual,
        "n_not_scored": first.n_not_scored,
        "n_seeds": len(seeds),
        "seeds": list(seeds),
        **{name: None if None in values else float(np.mean(values)) for name, values in figures.items()},  # type: ignore[arg-type]
        **{
            f"{name}_sd": None if None in values or len(values) == 1 else float(np.std(values, ddof=1))  # type: ignore[arg-type]
            for name, values in figures.items()
        },
    }


def made_by(root: Root) -> str:
    """Whether the embeddings mean anything: what stands first in every table."""
    weights, streams = provenance.weights(root), ", ".join(root.config.streams)
    if random_networks(root.config, root.config.streams):
        weights = f"{weights}, as configured: expect little of what is random"
    said = f"Scores of the video embeddings of {streams}. Weights: {weights}."
    return f"{said} {caution(root.catalog())}".rstrip()


def _markdown(root: Root, rows: Sequence[Row]) -> str:
    columns = [field.name for field in schema.ANOMALY_HOLDOUT if field.name not in ("seeds", "n_seeds")]
    if len(root.config.seeds) == 1:
        columns = [name for name in columns if not name.endswith("_sd")]
    is_tuned = root.config.finetune.blocks > 0
    tuned = " The frame CNN was fine-tuned on every class, also where it says false." if is_tuned else ""
    text = (
        f"{made_by(root)} Each row: the test clips of a class that the autoencoder never saw (held) against the "
        "normal ones (other). Where networks_saw_class is true, motion CNN and recurrent networks were trained "
        f"on the class all the same, so the figures are optimistic.{tuned} "
        f"Means over the seeds {', '.join(map(str, root.config.seeds))}."
    )
    table = tables.markdown(tables.Grid(columns, marked(rows, columns, schema.ANOMALY_HOLDOUT, provenance.mark(root))))
    return f"# Held-out classes\n\n{text}\n\n{table}\n"
