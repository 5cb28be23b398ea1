"""A folder of class folders: SOURCE/label/anything.mp4. The simplest way to bring one's own data."""

from collections.abc import Sequence

from actionrec.catalog.source import SPLIT_NAMES, Draft, SourceFile, Video, below, left_out, videos_of
from actionrec.catalog.ucf101 import group_of


def read_folder(listing: Sequence[SourceFile], source: str) -> Draft:
    """The videos below ``source``, each labelled with the first folder of its path.

    A video at the top has no label: it can be embedded, not trained on. A group is known only where names follow
    UCF101's v_Class_gXX_cYY.

    Raises:
        InputError: there is no video, or two have the same id.
    """
    files, others = videos_of(listing, source)
    prefix = below(source)
    videos = [
        Video(video_id, prefix + file.relative_path, _label(video_id), group_of(video_id), None, file.bytes)
        for video_id, file in files.items()
    ]
    return Draft(videos, left_out(others, source) + _warnings(videos, source))


def _label(video_id: str) -> str | None:
    folder, slash, _ = video_id.partition("/")
    return folder if slash else None


def _warnings(videos: Sequence[Video], source: str) -> list[str]:
    labels = {video.label for video in videos if video.label is not None}
    if labels and all(label.lower() in SPLIT_NAMES for label in labels):
        return [
            f"the folders of {source} are called {', '.join(sorted(labels))}: these became the classes; "
            "if they are splits, write a CSV with the columns path, label, split instead"
        ]
    return []
