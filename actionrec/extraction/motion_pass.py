"""The motion stream of every part, as one pass over the cluster."""

from collections.abc import Callable

from actionrec.cluster.passes import map_parts
from actionrec.cluster.session import session
from actionrec.extraction.motion import STREAM, MotionJob, MotionWorker
from actionrec.storage import parts
from actionrec.storage.root import Root, made_from
from actionrec.storage.samples import extracted
from actionrec.storage.streams import above

ACTOR_BYTES = 2 * 2**30


def embed_motion(
    root: Root,
    fingerprint: str,
    *,
    verbose: bool = False,
    on_progress: Callable[[int, int, int], None] = lambda done, videos, failed: None,
    on_stage: Callable[[str], None] = lambda text: None,
) -> parts.Reconciled:
    """Compute features/motion of every part that has flow and sampled frames, and no motion yet; see `extract`."""
    uppers = above(STREAM, root.config)
    members = extracted(root, uppers)
    ids = [video_id for members_of_part in members.values() for video_id in members_of_part]
    done = parts.committed(root.output, STREAM)
    todo = {part: [{"video_id": video_id} for video_id in m] for part, m in members.items() if part not in done and m}
    if todo:
        kept = len(ids) - sum(map(len, todo.values()))
        network = made_from(root, "motion_cnn")["motion_cnn"]
        job = MotionJob(root.config, root.store.url, root.output.url, fingerprint, network, made_from(root, *uppers))
        on_stage("Ray")
        with session(verbose) as cluster:
            on_stage("motion features")
            map_parts(
                MotionWorker,
                job,
                todo,
                root.config,
                cluster,
                actor_bytes=ACTOR_BYTES,
                report=lambda now, failed: on_progress(kept + now, len(ids), failed),
            )
    return parts.reconcile(root.output, ids, {STREAM: fingerprint})
