"""`actionrec anomaly --holdout C`: every network trained anew without a class, and how well that class stands out.

What is trained without C lies in a folder of its own below the root, so nothing here touches the networks that know C.
"""

from collections.abc import Callable

import pyarrow as pa

from actionrec.anomaly import holdout_table
from actionrec.anomaly.detector import check_trainable, load_detector, read_videos
from actionrec.anomaly.scores import OnStage, fit_anomaly
from actionrec.catalog.checks import problems
from actionrec.errors import InputError
from actionrec.storage.root import Root, begin, made_from


def holdout(
    root: Root, label: str, retrain: Callable[[Root], object], *, on_stage: OnStage = lambda text: None
) -> pa.Table:
    """Train without the class `label` and add its row to tables/anomaly_holdout, which is returned.

    `retrain(held)` trains the motion CNN and the recurrent networks of `held`, this root without the class, and embeds
    its videos. Everything goes on where an interrupted call left it; a class that has its row is skipped.

    Raises InputError, before anything is trained: `label` is no class (with close matches), has no test clips, or
    leaves too little to train on; the root's own video embeddings are not there.
    """
    catalog = root.catalog()
    normal = holdout_table.check_held(root, label, catalog)
    held = root.without(label)
    if wrong := problems(held.catalog()):
        raise InputError(f"--holdout {label}: too little is left without it: {wrong[0]}")
    check_trainable(root, read_videos(root, root.config.seeds[0], catalog), normal)
    begin(root, "anomaly", made_from(root, "embeddings"))
    if holdout_table.is_finished(root, label, normal, False, catalog):
        return holdout_table.read_table(root)
    retrain(held)
    fit_anomaly(held, on_stage=on_stage)
    outcomes = []
    for seed in root.config.seeds:
        videos = read_videos(held, seed, catalog)  # with the labels that `held` does not know
        detector = load_detector(held, videos, normal, seed)
        outcomes.append(holdout_table.outcome(detector, videos, label, normal))
    return holdout_table.add_row(root, label, False, outcomes)


def facts(table: pa.Table) -> dict[str, object]:
    """What to tell a person of tables/anomaly_holdout: a line a row."""
    return {
        f"{row['class']}{', networks saw it' if row['networks_saw_class'] else ''}": (
            f"{row['n_held']} held and {row['n_other']} other test clips"
            if row["auroc"] is None
            else f"AUROC {row['auroc']:.3f}, nearest neighbours {row['neighbor_auroc']:.3f} "
            f"({row['n_held']} held, {row['n_other']} other test clips)"
        )
        for row in table.to_pylist()
    }
