"""What the finished models are worth: every subset of streams judged on the test split, once, by three classifiers.

- softmax: of one stream its recurrent network's own head; of several, a softmax layer on their concatenated embeddings.
- svm: the linear SVM on them, by the normalisation, L2 weight and rule for missing streams of the fused model.
- average: the mean of the streams' own softmax outputs, as the two-stream papers fuse; of one stream it is softmax.

Validation marks the best row; the test split has no say in anything.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from actionrec import schema
from actionrec.catalog.evidence import caution
from actionrec.errors import InputError
from actionrec.learning import fusion
from actionrec.learning.embeddings import Embeddings
from actionrec.learning.fusion import FusedModel, Head
from actionrec.learning.linear import Kind
from actionrec.reporting.evaluation import figure, render
from actionrec.stages import provenance
from actionrec.stages.fuse import load_fused
from actionrec.stages.judged import Judged, Scores, tables_of
from actionrec.stages.labelled import Labelled, labelled
from actionrec.storage import layout, models
from actionrec.storage.root import Root, begin, record


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
        whole = next(row for row in rows if tuple(row["streams"]) == self.fused and row["method"] == "svm")
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
    stage_inputs = {"fusion": record(root, "fusion")["fingerprint"]}
    sides = {seed: labelled(root, seed) for seed in root.config.seeds}
    first = sides[root.config.seeds[0]]
    if not len(first["test"].target):
        raise InputError(f"{root.store.url}: no test video has a class that was learnt; there is nothing to judge by")
    fused = {seed: load_fused(root, seed) for seed in root.config.seeds}
    root.clear("evaluate")
    digest = provenance.digest([first["test"].embeddings.video_ids, first["test"].target.tolist()])
    fingerprint = begin(root, "evaluate", stage_inputs | {"test videos": digest, "seeds": str(list(root.config.seeds))})
    too_few = caution(root.catalog())
    if (stored := _stored(root, fingerprint)) is not None:
        return Evaluated(stored, fused[root.config.seeds[0]].streams, False, too_few)
    judged: list[Judged] = []
    for seed in root.config.seeds:
        on_stage(f"seed {seed}")
        judged += judge(root, seed, fused[seed], sides[seed])
    tables = tables_of(root, fused[root.config.seeds[0]], judged, first)
    for name, table in tables.items():  # ablation is the last and says that all are there
        _write(root, name, table, fingerprint)
    return Evaluated(tables["ablation"], fused[root.config.seeds[0]].streams, True, too_few)


def judge(root: Root, seed: int, fused: FusedModel, sides: dict[str, Labelled]) -> list[Judged]:
    """Every subset of streams under each classifier, by the models of one seed."""
    heads: dict[str, Head] = {stream: _head(root, stream, seed) for stream in root.config.streams}
    found = []
    for streams in fusion.subsets(root.config.streams):
        for method, score in _methods(root, seed, fused, sides["train"], streams, heads).items():
            val, test = (score(sides[split].embeddings.of(streams)) for split in ("val", "test"))
            found.append(Judged(streams, method, seed, val, test))
    return found


def _methods(
    root: Root, seed: int, fused: FusedModel, train: Labelled, streams: tuple[str, ...], heads: dict[str, Head]
) -> dict[str, Callable[[Embeddings], Scores]]:
    """Method -> what scores videos by these streams."""

    def fitted(kind: Kind) -> FusedModel:
        with_any = np.flatnonzero(np.any([train.embeddings.present[stream] for stream in streams], axis=0))
        chosen = train.embeddings.of(streams).rows(with_any)
        settings = dataclasses.replace(root.config.fusion, l2=fused.l2)
        return fusion.fit_as(
            chosen, train.target[with_any], fused.labels, kind, fused.normalization, fused.missing, settings, seed
        )

    own = {stream: heads[stream] for stream in streams}
    average: Callable[[Embeddings], Scores] = lambda embeddings: fusion.average(own, embeddings)  # noqa: E731
    svm = fused if streams == fused.streams else fitted("svm")
    if len(streams) == 1:
        return {"softmax": average, "svm": svm.decisions}
    return {"softmax": fitted("softmax").decisions, "svm": svm.decisions, "average": average}


def _head(root: Root, stream: str, seed: int) -> Head:
    folder = layout.model(layout.rnn(stream), root.further(seed))
    fingerprint = models.seeded(record(root, "rnn")["fingerprint"], seed)
    tensors = models.load(root.output, folder, fingerprint, "use --replace rnn").tensors
    return Head(*(tensors[f"head.{name}"].double().numpy() for name in ("weight", "bias")))


def _stored(root: Root, fingerprint: str) -> pa.Table | None:
    key = layout.table("ablation")
    try:
        data = root.output.read(key)
    except FileNotFoundError:
        return None
    table = schema.from_parquet(data, schema.ABLATION, f"{root.output.url}/{key}")
    return table if schema.fingerprint_of(data) == fingerprint else None


def _write(root: Root, name: str, table: pa.Table, fingerprint: str) -> None:
    if text := render(name, table, provenance.paragraph(root), caution(root.catalog())):
        root.output.put(layout.table(name, "md"), text.encode())
    root.output.put(layout.table(name), schema.to_parquet(table, fingerprint))
