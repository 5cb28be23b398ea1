"""How it went: learning curves, seconds, and what failed."""

import pyarrow as pa
import pyarrow.compute as pc

from actionrec.report.findings import IMPORTED, Findings
from actionrec.show import plots
from actionrec.show.page import Block
from actionrec.show.parts import Drawing, Drawings, Table
from actionrec.show.tables import Grid
from actionrec.show.words import counted
from actionrec.storage import layout, parts
from actionrec.storage.samples import made_with, store_of
from actionrec.storage.streams import STREAMS


def curves(findings: Findings) -> list[Block]:
    """The history of each trained network of the first seed."""
    drawings = [
        Drawing(plots.curves(name, history), f"Training and validation loss of {name} by epoch")
        for name, history in _histories(findings).items()
    ]
    if not drawings:
        return []
    return [Block(text=["Of the first seed; the dot is the epoch that was kept."], parts=[Drawings(drawings)])]


def throughput(findings: Findings) -> list[Block]:
    """Seconds of every phase of extraction and of every network's training."""
    tables = _statuses(findings)
    if not tables:
        return []
    blocks = [_features(tables)] if findings.has_videos else [Block("Features", [IMPORTED])]
    trained: list[list[object]] = []
    for name, history in _histories(findings).items():
        seconds = sum(epoch.get("seconds", 0.0) for epoch in history)
        samples = sum(epoch.get("samples", 0) for epoch in history)
        trained.append([name, len(history), seconds, samples / seconds if seconds else None])
    if trained:
        grid = Grid(["network", "epochs", "seconds", "samples a second"], trained)
        blocks.append(Block("Training", parts=[Table(grid, "Seconds of training")]))
    return blocks


def failed(findings: Findings) -> list[Block]:
    """Every video that failed, with its reason."""
    tables = _statuses(findings)
    if not tables:
        return []
    status = pa.concat_tables(tables.values())
    wrong = status.filter(pc.equal(status["status"], "failed"))
    videos = len(set(status["video_id"].to_pylist()))
    count = len(set(wrong["video_id"].to_pylist()))
    columns = ["video_id", "stream", "reason", "detail"]
    rows = sorted([row[name] for name in columns] for row in wrong.select(columns).to_pylist())
    table = [Table(Grid(columns, rows), "Videos that failed")] if rows else []
    return [Block(text=[f"{count:,} of {counted(videos, 'video')} failed."], parts=table)]


def _features(tables: dict[str, pa.Table]) -> Block:
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
    grid = Grid(["phase", "videos", "seconds of one worker", "seconds a video"], rows)
    note = "Decoding runs beside the other phases."
    return Block("Features", parts=[Table(grid, "Seconds of each phase of extraction")], note=note)


def _histories(findings: Findings) -> dict[str, list[dict[str, float]]]:
    names = (layout.MOTION_CNN, *map(layout.rnn, findings.root.config.streams), layout.AUTOENCODER)
    found = {name: findings.history(name) for name in names}
    return {name: history for name, history in found.items() if history}


def _statuses(findings: Findings) -> dict[str, pa.Table]:
    """Of each stream that has begun [rows, schema.OUTCOME]."""
    root = findings.root
    begun = [stream for stream in STREAMS if root.begun(stream)]
    return {stream: parts.statuses(store_of(root, stream), stream, made_with(root, stream)) for stream in begun}
