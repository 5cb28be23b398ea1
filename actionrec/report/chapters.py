"""The chapters of the report: each makes its blocks from what lies under a root, or none where that is not there."""

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actionrec import config, schema
from actionrec.catalog.evidence import caution
from actionrec.report import stills
from actionrec.show import plots
from actionrec.show.evaluation import shown, verdict
from actionrec.show.page import Block, Thumbnail, thumbnail
from actionrec.show.tables import Grid
from actionrec.show.words import counted
from actionrec.storage import layout, parts, provenance
from actionrec.storage.embeddings import embeddings_of, read_embeddings
from actionrec.storage.root import Root, record
from actionrec.storage.samples import made_with, store_of
from actionrec.storage.stages import STAGES, in_use
from actionrec.storage.streams import STREAMS, imported, random_networks

PACKAGES = ("ray", "torch", "timm", "ptlflow", "torchvggish", "scikit-learn", "pyarrow", "av")
MAPPED = 2000  # videos, of which the map is made
UNUSUAL, PAIRS, THUMBNAILS, BEST_SVMS = 12, 8, 12, 12  # how many are shown
IMPORTED = "The features were imported, so there are no videos to look at."


def run(root: Root) -> list[Block]:
    """Data, weights, seeds, versions, settings and stages."""
    facts = [
        ["data", provenance.dataset(root)],
        ["source", str(root.config.data.source)],
        ["weights", provenance.weights(root)],
        ["streams", " + ".join(root.config.streams)],
        ["seeds", ", ".join(map(str, root.config.seeds))],
        ["Python", platform.python_version()],
        *([name, metadata.version(name)] for name in ("actionrec", *PACKAGES)),
    ]
    begun = [
        _made(row.name, record(root, row.name)) for row in STAGES.values() if row.recorded and root.begun(row.name)
    ]
    warning = "The weights are random, as configured: the figures show that everything works, not how well."
    warnings = [warning] if random_networks(root.config, root.config.streams) else []
    if said := caution(root.catalog()):
        warnings.append(said)
    return [
        Block(text=warnings, grid=Grid(["", ""], facts)),
        Block(
            "Settings that are not the paper's", grid=Grid(["setting", "here", "default"], settings(root)), folded=True
        ),
        Block("Stages", grid=Grid(["stage", "made from", "its fingerprint"], begun), folded=True),
    ]


def settings(root: Root) -> list[list[str]]:
    """Of each setting that is not the default: its key, its value and the default.

    Those of stages that have not begun and that this configuration does not make are left out: nothing goes by them.
    """
    own, usual = config.flatten(root.config), config.flatten(config.Config())
    stages = [row.name for row in STAGES.values() if row.made(root.config) or root.begun(row.name)]
    return [[key, str(own[key]), str(usual[key])] for key in in_use(stages, root.config) if own[key] != usual[key]]


def _made(stage: str, record: Mapping[str, Any]) -> list[str]:
    """A row of the table of stages: which others one was made from, and by which name its files go."""
    return [stage, ", ".join(name for name in STAGES if name in record["inputs"]), record["fingerprint"]]


def table1(root: Root) -> list[Block]:
    """The sweep over the paper's recurrent networks."""
    if (table := _table(root, "table1", schema.TABLE1)) is None:
        return []
    rows = table.to_pylist()
    alt = "Test top-1 and its 95 % interval for each recurrent network"
    text = _verdict(rows, bool(caution(root.catalog())))
    return [Block(svg=plots.table1(rows), alt=alt, text=text), _shown(root, "table1", table)]


def table2(root: Root) -> list[Block]:
    return _plain(root, "table2", schema.TABLE2)


def ablation(root: Root) -> list[Block]:
    return _plain(root, "ablation", schema.ABLATION)


def svm(root: Root) -> list[Block]:
    return [dataclasses.replace(block, shown_rows=BEST_SVMS) for block in _plain(root, "svm", schema.SVM)]


def curves(root: Root) -> list[Block]:
    """The history of each trained network of the first seed."""
    names = (layout.MOTION_CNN, *map(layout.rnn, root.config.streams), layout.AUTOENCODER)
    found = {name: _history(root, name) for name in names}
    trained = {name: history for name, history in found.items() if history}
    if not trained:
        return []
    text = ["Of the first seed; the dot is the epoch that was kept."]
    return [Block(text=text, svg=plots.curves("curves", trained), alt="Training and validation loss by epoch")]


def confusion(root: Root) -> list[Block]:
    """The matrix, and the pairs of classes that are mistaken for each other most often."""
    table, classes = _table(root, "confusion", schema.CONFUSION), _table(root, "classes", schema.CLASSES)
    if table is None or classes is None:
        return []
    labels = classes["label"].to_pylist()
    videos = dict(zip(labels, classes["n_test"].to_pylist(), strict=True))
    share_CC = np.zeros((len(labels), len(labels)))
    wrong = []
    for row in table.to_pylist():
        true, said = labels.index(row["label"]), labels.index(row["predicted"])
        share_CC[true, said] = row["videos"] / videos[row["label"]]
        if true != said:
            wrong.append([row["label"], row["predicted"], row["videos"], videos[row["label"]]])
    wrong.sort(key=lambda row: -row[2])
    columns = ["class", "taken for", "test videos", "of"]
    return [
        Block(svg=plots.confusion("confusion", labels, share_CC), alt="Confusion matrix"),
        Block("The worst pairs", grid=Grid(columns, wrong[:PAIRS]))
        if wrong
        else Block(text=["No test video was taken for another class."]),
    ]


def classes(root: Root) -> list[Block]:
    """A bar a class."""
    if (table := _table(root, "classes", schema.CLASSES)) is None:
        return []
    rows = sorted((row for row in table.to_pylist() if row["top1"] is not None), key=lambda row: -row["top1"])
    values = {row["label"]: row["top1"] for row in rows}
    return [
        Block(svg=plots.bars("classes", values, "test top-1, %"), alt="Test top-1 of each class"),
        _shown(root, "classes", table),
    ]


def sampling(root: Root) -> list[Block]:
    """One clip: how it moves, and what adaptive and constant sampling take of it."""
    if imported(root.config):
        return [Block(text=[IMPORTED])]
    if not root.begun("flow"):
        return []
    if (clip := stills.sampled(root)) is None:
        return [Block(text=["No video has two frames or more."])]
    text = [
        f"{clip.video_id}: its mean displacement from frame to frame, and the {len(clip.taken['adaptive'])} frames "
        "that adaptive sampling takes where it moves, beside a constant step. This run's sampling was "
        f"{root.config.sampling.method}."
    ]
    if np.array_equal(clip.taken["adaptive"], clip.taken["constant"]):
        text.append("Both take the same frames of it: it moves as much in each second. So do all clips looked at here.")
    blocks = [
        Block(
            text=text,
            svg=plots.motion("sampling", clip.pair_s, clip.motion_px, clip.taken_s),
            alt="Motion over time, with the moments that each method of sampling took",
        )
    ]
    for method, frames in clip.taken.items():
        places = np.unique(np.linspace(0, len(frames) - 1, min(THUMBNAILS, len(frames))).astype(int))
        found = stills.frames_of(root, {clip.video_id: frames[places].tolist()})[clip.video_id]
        if isinstance(found, stills.NoFrame):
            return [*blocks, Block(text=[found.why], lacking=int(found.is_away))]
        captions = [f"{moment:.2f} s" for moment in clip.taken_s[method][places]]
        blocks.append(Block(method, thumbnails=[thumbnail(*each) for each in zip(found, captions, strict=True)]))
    return blocks


def plane(root: Root) -> list[Block]:
    """The video embeddings of the first seed in two dimensions."""
    if not root.output.exists(layout.video_embeddings()):
        return []
    catalog = root.catalog()
    label_of = dict(zip(catalog["video_id"].to_pylist(), catalog["label"].to_pylist(), strict=True))
    found = embeddings_of(read_embeddings(root, root.config.seeds[0]), root.config.streams)
    labels = [label_of.get(video_id) for video_id in found.video_ids]
    known = np.array([place for place, label in enumerate(labels) if label is not None], np.int64)
    if len(known) > MAPPED:
        known = np.sort(np.random.default_rng(root.config.seed).choice(known, MAPPED, replace=False))
    if len(known) < 4:
        return [Block(text=["There are fewer than four labelled videos to map."])]
    chosen = found.rows(known)
    lengths = [np.linalg.norm(v, axis=1, keepdims=True) for v in chosen.vectors.values()]
    parts_ND = [v / np.where(norm > 0, norm, 1) for v, norm in zip(chosen.vectors.values(), lengths, strict=True)]
    shown_labels = [str(labels[place]) for place in known]
    text = (
        f"The embeddings of {len(known)} of {counted(len(labels), 'video')}, each stream scaled to length 1, laid out "
        "by t-SNE: near points are alike; distances between far ones mean nothing."
    )
    svg = plots.scatter("map", _tsne(np.concatenate(parts_ND, axis=1)), shown_labels, sorted(set(shown_labels)))
    return [Block(text=[text], svg=svg, alt="A point for each video, coloured by class")]


def anomaly(root: Root) -> list[Block]:
    """The videos with the highest scores, and how well held-out classes stood out."""
    if (table := _table(root, "anomaly", schema.ANOMALY)) is None:
        return []
    rows = [row for row in table.slice(0, UNUSUAL).to_pylist() if row["score"] is not None]
    columns = ["video_id", "label", "split", "score", "threshold", "anomalous"]
    blocks = [Block(grid=Grid(columns, [[row[name] for name in columns] for row in rows]))]
    if root.config.data.dataset == "features":
        blocks.append(Block(text=[IMPORTED]))
    else:
        blocks.insert(0, _portraits(root, rows))
    if (held := _table(root, "anomaly_holdout", schema.ANOMALY_HOLDOUT)) is not None:
        names = [name for name in held.column_names if name != "seeds"]
        values = [[row[name] for name in names] for row in held.to_pylist()]
        blocks.append(Block("Classes that were held out", grid=Grid(names, values)))
    return blocks


def throughput(root: Root) -> list[Block]:
    """Seconds of every phase of extraction and of every network's training."""
    tables = _statuses(root)
    if not tables:
        return []
    good = {stream: table.filter(pc.equal(table["status"], "ok")) for stream, table in tables.items()}
    phases = [(stream, table, "compute_s") for stream, table in good.items()]
    if decoded := [table for stream, table in good.items() if STREAMS[stream].decoded]:
        longest = max(decoded, key=len)
        phases = [("reading", longest, "read_s"), ("decoding", longest, "decode_s"), *phases]
    rows = []
    for name, table, column in phases:
        seconds = float(pc.sum(table[column]).as_py() or 0.0)
        if table.num_rows:
            rows.append([name, table.num_rows, seconds, seconds / table.num_rows])
    columns = ["phase", "videos", "seconds of one worker", "seconds a video"]
    blocks = [Block("Features", ["Decoding runs beside the other phases."], grid=Grid(columns, rows))]
    if root.config.data.dataset == "features":
        blocks = [Block("Features", [IMPORTED])]
    trained = []
    for name in (layout.MOTION_CNN, *map(layout.rnn, root.config.streams), layout.AUTOENCODER):
        if history := _history(root, name):
            seconds = sum(epoch.get("seconds", 0.0) for epoch in history)
            samples = sum(epoch.get("samples", 0) for epoch in history)
            trained.append([name, len(history), seconds, samples / seconds if seconds else None])
    if trained:
        blocks.append(Block("Training", grid=Grid(["network", "epochs", "seconds", "samples a second"], trained)))
    return blocks


def failed(root: Root) -> list[Block]:
    """Every video that failed, with its reason."""
    tables = _statuses(root)
    if not tables:
        return []
    status = pa.concat_tables(tables.values())
    wrong = status.filter(pc.equal(status["status"], "failed"))
    videos = len(set(status["video_id"].to_pylist()))
    count = len(set(wrong["video_id"].to_pylist()))
    columns = ["video_id", "stream", "reason", "detail"]
    rows = [[row[name] for name in columns] for row in wrong.select(columns).to_pylist()]
    return [Block(text=[f"{count} of {counted(videos, 'video')} failed."], grid=Grid(columns, rows))]


_WORDS = {
    "better": "So averaging over time is better.",
    "worse": "So averaging over time is worse.",
    "cannot be told": "Which of them is better cannot be told from these test videos.",
}


def _verdict(rows: Sequence[dict[str, Any]], too_few: bool) -> list[str]:
    """How the chosen recurrent network and averaging over time compare, as far as the interval tells."""
    baseline = rows[-1]
    chosen = next((row for row in rows[:-1] if row["best_on_validation"]), None)
    if chosen is None or baseline["top1"] is None:
        return []
    said = verdict(baseline["difference_low"], baseline["difference_high"], too_few)
    return [
        f"{chosen['model']}, the best on validation, has a test top-1 of {chosen['top1']:.1%}, {baseline['model']} one "
        f"of {baseline['top1']:.1%}. {_WORDS[said]} The dots are test top-1, the lines 95 % intervals over test "
        "groups, crosses the paper's figures for the 101 classes of UCF101."
    ]


def _plain(root: Root, name: str, table_schema: pa.Schema) -> list[Block]:
    table = _table(root, name, table_schema)
    return [] if table is None else [_shown(root, name, table)]


def _shown(root: Root, name: str, table: pa.Table) -> Block:
    found = shown(name, table, "" if name == "svm" else caution(root.catalog()))
    return Block(text=[found.note], grid=found.grid)


def _table(root: Root, name: str, table_schema: pa.Schema) -> pa.Table | None:
    key = layout.table(name)
    try:
        data = root.output.read(key)
    except FileNotFoundError:
        return None
    return schema.from_parquet(data, table_schema, f"{root.output.url}/{key}")


def _history(root: Root, name: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads(root.output.read(layout.model(name) + "history.json"))
    except FileNotFoundError:
        return []
    return found


def _statuses(root: Root) -> dict[str, pa.Table]:
    """Of each stream that has begun [rows, schema.OUTCOME]."""
    begun = [stream for stream in STREAMS if root.begun(stream)]
    return {stream: parts.statuses(store_of(root, stream), stream, made_with(root, stream)) for stream in begun}


def _portraits(root: Root, rows: Sequence[dict[str, Any]]) -> Block:
    """The middle frame of each of these videos."""
    found = stills.frames_of(root, {row["video_id"]: None for row in rows})
    thumbnails: list[Thumbnail] = []
    missing = []
    for row in rows:
        frames = found[row["video_id"]]
        if isinstance(frames, stills.NoFrame):
            missing.append(frames)
        else:
            thumbnails.append(thumbnail(frames[0], f"{row['score']:.4g} {row['video_id']}"))
    text, lacking = [each.why for each in missing], sum(each.is_away for each in missing)
    return Block(text=text, thumbnails=thumbnails, lacking=lacking)


def _tsne(vectors_ND: NDArray[np.float32]) -> NDArray[np.float64]:
    """[N, 2]. PCA to 50 numbers first, as is usual: t-SNE only needs who is near whom."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    small = PCA(min(50, *vectors_ND.shape), random_state=0).fit_transform(vectors_ND)
    perplexity = min(30.0, (len(small) - 1) / 3)
    found: NDArray[np.float64] = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(small)
    return found.astype(np.float64)
