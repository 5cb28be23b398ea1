"""A million videos through the real catalog, plan, commits, resume and reconcile: python benchmarks/scale.py

The source is a folder of that many files of one byte. Decoding and networks are faked: a worker stores tiny features
through the real schema, layout and store, and commits. Everything else is the product's own code, verb by verb, each
in a process of its own, whose time and peak memory are printed:

- `catalog`, and again (nothing is new);
- `extract`, killed with SIGKILL when a third is committed, and run again to the end;
- `extract` once more, which has only to find that there is nothing to do;
- which videos have a stream, as every training asks first.
"""

import argparse
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from actionrec import schema
from actionrec.config import Extract
from actionrec.distributed import extract
from actionrec.distributed.part import Job
from actionrec.distributed.watcher import Watcher
from actionrec.storage import layout
from actionrec.storage.root import open_root
from actionrec.storage.samples import samples
from actionrec.storage.store import open_store
from actionrec.storage.streams import STREAMS

CLASSES = 400


class FakeWorker:
    """Commits parts as the real worker does, with embeddings of four numbers that nothing was decoded for."""

    def __init__(self, job: Job, device: str) -> None:
        self._job, self._root = job, open_store(job.root_url, job.config.storage)

    def run(self, part: int, items: Sequence[Mapping[str, Any]], watcher: Watcher) -> None:
        ids = [item["video_id"] for item in items]
        watcher.begin(part, len(ids))
        for video_id in ids:
            watcher.starting(part, video_id)
            watcher.finished(part, video_id, False)
        row = {"frame_index": [0], "time_s": [0.0], "embedding": np.zeros((1, 4), np.float32)}
        for stream in self._job.streams:
            rows = [] if stream == "flow" else [(video_id, row) for video_id in ids]
            status = [{"video_id": i, "stream": stream, "status": "ok", "compute_s": 0.0} for i in ids]
            self._put(stream, layout.feature(stream, part), schema.feature_table(STREAMS[stream].schema(4), rows))
            self._put(stream, layout.commit_mark(stream, part), pa.Table.from_pylist(status, schema=schema.STATUS))

    def _put(self, stream: str, key: str, table: pa.Table) -> None:
        self._root.put(key, schema.to_parquet(table, self._job.made[stream]))


def verb(name: str, root: str, source: str) -> None:
    """One verb in this process, with its seconds and its peak memory as the last line."""
    from actionrec.cli import main

    started = time.monotonic()
    extract.PartWorker = FakeWorker  # type: ignore[assignment,misc]
    extract.prepare = lambda config, store, streams: {}  # type: ignore[assignment]
    with contextlib.suppress(SystemExit):
        match name:
            case "catalog":
                main(["catalog", source, "--root", root])
            case "extract":
                main(["extract", "--root", root])
            case "samples":
                print(f"{len(samples(open_root(root), 'spatial').videos):,} videos have the stream")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.monotonic() - started:.0f} s, peak {peak:.2f} GiB", flush=True)


def measured(title: str, *arguments: str, kill_at: tuple[Path, int] | None = None) -> None:
    """Run `verb` in a process; print what it says. `kill_at`: SIGKILL once that folder holds so many files."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, __file__, "--verb", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    if kill_at:
        folder, count = kill_at
        while process.poll() is None and (not folder.exists() or len(os.listdir(folder)) < count):
            time.sleep(1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(f"{title}: killed after {time.monotonic() - started:.0f} s with {len(os.listdir(folder)):,} marks stored")
        return
    said = process.communicate()[0].strip().splitlines()
    print(f"{title}: {said[-1]}", *(f"    {line}" for line in said[:-1] if "videos" in line), sep="\n", flush=True)


def write_source(folder: Path, videos: int) -> None:
    """That many files of one byte in class folders."""
    for number in range(videos):
        path = folder / f"class_{number % CLASSES:03d}" / f"clip_{number:08d}.mp4"
        if number < CLASSES:
            path.parent.mkdir(parents=True)
        handle = os.open(path, os.O_CREAT | os.O_WRONLY)
        os.write(handle, b"x")
        os.close(handle)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="a folder for some 6 GB of small files; default: a temporary one")
    parser.add_argument("--verb", nargs=3, metavar=("NAME", "ROOT", "SOURCE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.verb:
        return verb(*given.verb)
    work = Path(tempfile.mkdtemp(prefix="actionrec-scale-", dir=given.work))
    root, source = str(work / "root"), str(work / "videos")
    status = work / "root/features/status"
    try:
        started = time.monotonic()
        write_source(work / "videos", given.videos)
        print(f"{given.videos:,} files written in {time.monotonic() - started:.0f} s", flush=True)
        measured("catalog", "catalog", root, source)
        measured("catalog again", "catalog", root, source)
        third = given.videos // Extract().part_videos  # marks: each part has one of each of three streams
        measured("extract", "extract", root, source, kill_at=(status, third))
        measured("extract, resumed", "extract", root, source)
        measured("extract, nothing to do", "extract", root, source)
        measured("samples of a stream", "samples", root, source)
        objects = sum(len(files) for _, _, files in os.walk(root))
        print(f"{objects:,} objects under the root")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
