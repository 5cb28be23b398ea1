"""What the finished models are worth: every subset of streams judged on the test split, once, by three classifiers.

- softmax: of one stream its recurrent network's own head; of several, a softmax layer on their concatenated embeddings.
- svm: the linear SVM on them.
- average: the mean of the streams' own softmax outputs, as the two-stream papers fuse; of one stream it is softmax.

Normalisation, L2 weight and the rule for missing streams are each row's own best on validation. Validation marks the
best row too; the test split has no say in anything. With `fusion.refit` the fused model has a row more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from actionrec import schema
from actionrec.catalog.evidence import caution
from actionrec.errors import InputError
from actionrec.fusion.attempts import best_settings
from actionrec.fusion.fuse import load_fused
from actionrec.fusion.tables import SubsetScores, tables_of
from actionrec.learning import fusion, search
from actionrec.learning.embeddings import Embeddings
from actionrec.learning.fusion import FusedModel, Head
from actionrec.learning.linear import Kind
from actionrec.learning.metrics import Scores
from actionrec.learning.search import Setting
from actionrec.show.evaluation import REFITTED, figure, render
from actionrec.storage import layout, provenance
from actionrec.storage.embeddings import SplitEmbeddings, split_embeddings
from actionrec.storage.root import Root, begin, made_from
from actionrec.storage.samples import class_labels, revisions
from actionrec.training.embedder import load_recurrent, softmax_layer


@dataclass(frozen=True)
class Evaluated:
    """tables/ablation and what the whole came to."""

    ablation: pa.Table
    fused: tuple[str, ...]  # the streams of the fused model
    written: bool
    caution: str  # why nothing can be read into the figures; empty where something can

    def facts(self) -> dict[str, object]:
        """What a person is told: the whole, the best single stream, and chance."""
        rows = self.ablation.to_pylist()
        of_fused = [row for row in rows if tuple(row["streams"]) == self.fused]
        whole = next(row for row in reversed(of_fused) if row["method"] in (REFITTED, "svm"))
        single = max((row for row in rows if len(row["streams"]) == 1), key=lambda row: row["val_top1"])
        found: dict[str, object] = {
            f"{' + '.join(row['streams'])} ({row['method']})": f"test top-1 {figure(row, 'top1')}"
            for row in (whole, single)
        }
        found |= {"majority class": f"{whole['majority']:.1%} of {whole['n_test']} test videos"}
        return found | ({"caution": self.caution} if self.caution else {})


def evaluate(root: Root, *, on_stage: Callable[[str], None] = lambda text: None) -> Evaluated:
    """Judge the models of all seeds and write the tables; a rerun of what is judged reads tables/ablation.

    Raises InputError where a model is missing or not what was recorded, or no test video has a class that is learnt.
    """
    inputs = made_from(root, "fusion")
    sides = {seed: split_embeddings(root, seed) for seed in root.config.seeds}
    first = sides[root.config.seeds[0]]
    if not len(first["test"].target):
        raise InputError(f"{root.store.url}: no test video has a class that was learnt; there is nothing to judge by")
    fused = {seed: load_fused(root, seed) for seed in root.config.seeds}
    tested_on: list[object] = [first["test"].embeddings.video_ids, first["test"].target.tolist()]
    digest = provenance.digest(tested_on + list(revisions(root.catalog())))
    fingerprint = begin(root, "evaluate", inputs | {"test videos": digest, "seeds": str(list(root.config.seeds))})
    too_few = caution(root.catalog())
    if (stored := _stored(root, fingerprint, first["test"])) is not None:
        return Evaluated(stored, fused[root.config.seeds[0]].streams, False, too_few)
    on_stage("choices")
    settings = own_settings(root, sides)
    scored: list[SubsetScores] = []
    for seed in root.config.seeds:
        on_stage(f"seed {seed}")
        scored += judge(root, seed, fused[seed], sides[seed], settings)
    tables = tables_of(root, fused[root.config.seeds[0]], scored, first)
    for name, table in tables.items():  # ablation is the last and says that all are there
        _write(root, name, table, fingerprint)
    return Evaluated(tables["ablation"], fused[root.config.seeds[0]].streams, True, too_few)


Settings = Mapping[tuple[Kind, tuple[str, ...]], Setting]


def own_settings(root: Root, sides: Mapping[int, Mapping[str, SplitEmbeddings]]) -> Settings:
    """The best setting on validation of each classifier on each subset of streams, averaged over the seeds.

    Empty where the root was fused without a search: then every row takes the configured L2 weight. The SVM's come from
    the search; the softmax layer's are looked for here among the same ones.
    """
    of_svm = best_settings(root)
    found: dict[tuple[Kind, tuple[str, ...]], Setting] = {("svm", streams): each for streams, each in of_svm.items()}
    for streams in (streams for streams in of_svm if len(streams) > 1):
        top1: dict[Setting, list[float]] = {}
        for settings in search.paths(streams, root.config.fusion, root.config.tune.l2):
            for seed, side in sides.items():
                tried = search.attempts(
                    settings,
                    side["train"].embeddings,
                    side["train"].target,
                    side["val"].embeddings,
                    side["val"].target,
                    class_labels(root.catalog()),
                    root.config.fusion,
                    seed,
                    kind="softmax",
                )
                for setting, (_, value) in zip(settings, tried, strict=True):
                    top1.setdefault(setting, []).append(value)
        found["softmax", streams] = search.best({setting: float(np.mean(values)) for setting, values in top1.items()})
    return found


def judge(
    root: Root, seed: int, fused: FusedModel, sides: Mapping[str, SplitEmbeddings], settings: Settings
) -> list[SubsetScores]:
    """Every subset of streams under each classifier, by the models of one seed."""
    heads: dict[str, Head] = {
        stream: softmax_layer(load_recurrent(root, stream, seed)) for stream in root.config.streams
    }
    found = []
    for streams in fusion.subsets(root.config.streams):
        for method, score in _methods(root, seed, fused, sides, streams, heads, settings).items():
            val, test = (score(sides[split].embeddings.of(streams)) for split in ("val", "test"))
            found.append(SubsetScores(streams, method, seed, val, test))
        if streams == fused.streams and fused.refitted:
            found.append(
                SubsetScores(streams, REFITTED, seed, None, fused.decisions(sides["test"].embeddings.of(streams)))
            )
    return found


def _methods(
    root: Root,
    seed: int,
    fused: FusedModel,
    sides: Mapping[str, SplitEmbeddings],
    streams: tuple[str, ...],
    heads: dict[str, Head],
    settings: Settings,
) -> dict[str, Callable[[Embeddings], Scores]]:
    """Method -> what scores videos by these streams."""

    def fitted(kind: Kind) -> FusedModel:
        setting, knobs = settings.get((kind, streams)), root.config.fusion
        train, val = sides["train"], sides["val"]
        return fusion.fit(
            train.embeddings.of(streams),
            train.target,
            val.embeddings.of(streams),
            val.target,
            fused.labels,
            setting.of(knobs) if setting else knobs,
            seed,
            kind,
        )

    own = {stream: heads[stream] for stream in streams}
    average: Callable[[Embeddings], Scores] = lambda embeddings: fusion.average(own, embeddings)  # noqa: E731
    svm = fused if streams == fused.streams and not fused.refitted else fitted("svm")
    if len(streams) == 1:
        return {"softmax": average, "svm": svm.decisions}
    return {"softmax": fitted("softmax").decisions, "svm": svm.decisions, "average": average}


def _stored(root: Root, fingerprint: str, test: SplitEmbeddings) -> pa.Table | None:
    """The table of before; None where there is none, or where test videos have been extracted since."""
    key = layout.table("ablation")
    try:
        data = root.output.read(key)
    except FileNotFoundError:
        return None
    table = schema.from_parquet(data, schema.ABLATION, f"{root.output.url}/{key}")
    now = {(stream,): int(present_N.sum()) for stream, present_N in test.embeddings.present.items()}
    then = {tuple(row["streams"]): row["n_judged"] for row in table.to_pylist() if row["n_judged"] is not None}
    is_current = all(then.get(streams, count) == count for streams, count in now.items())
    return table if is_current and schema.fingerprint_of(data) == fingerprint else None


def _write(root: Root, name: str, table: pa.Table, fingerprint: str) -> None:
    if text := render(name, table, provenance.paragraph(root), provenance.reading(root)):
        root.output.put(layout.table(name, "md"), text.encode())
    root.output.put(layout.table(name), schema.to_parquet(table, fingerprint))
