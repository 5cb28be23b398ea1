"""UCF101 and data sets of its shape: v_Class_gXX_cYY files and the official lists that split them.

Soomro et al. 2012 publish three splits of 25 groups a class; a group's clips come from one recording, so the lists
keep a group on one side. The lists, not the folders, give the labels: videos may lie in class folders, in one flat
folder, or re-encoded under another extension. The videos that are present become rows: a partial download is a
smaller data set, with one warning that counts. A video in neither list keeps its row, so that it is embedded and
reported, but has no label and no split, so that it never changes an official result.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from actionrec.catalog.official import Listed, add, lines, match
from actionrec.catalog.source import Draft, SourceFile, Video, below, decoded, is_hidden, left_out, nfc, stem, videos_of
from actionrec.errors import InputError

LIST_FOLDERS = ("ucfTrainTestlist/", "", "splits/")
CLASSES = "classInd.txt"
VALIDATION_SHARE = 0.2
_NAME = re.compile(r"v_(.+_g\d+)_c\d+")


def group_of(video_id: str) -> str | None:
    """``Class_gXX`` for a file called v_Class_gXX_cYY, in any folder and with any extension; else None."""
    match = _NAME.fullmatch(stem(video_id))
    return match[1] if match else None


def read_ucf101(listing: Sequence[SourceFile], read: Callable[[str], bytes], source: str, split: int) -> Draft:
    """The videos below ``source`` that the lists of official split 1, 2 or 3 name, and those they do not.

    Raises:
        InputError: no videos; a list is absent, malformed or contradicts another; two files for one listed video.
    """
    files, others = videos_of(listing, source)
    lists = _find_lists({file.relative_path for file in listing}, source, split)
    text = {name: nfc(decoded(read(below(source) + lists + name), name)) for name in _names(split)}
    classes = _classes(text["classInd.txt"])
    listed = _listed(text, classes, split)
    chosen = match(files, listed, _key)
    prefix = below(source)
    videos = []
    for video_id, file in files.items():
        entry = chosen.get(video_id)
        label, side = (entry.label, entry.split) if entry else (None, None)
        videos.append(Video(video_id, prefix + file.relative_path, label, group_of(video_id), side, file.bytes))
    foreign = [name for name in others if not (name.startswith(lists) and name.endswith(".txt"))]
    counts = _counts(files, chosen, len(listed), source, split)
    return Draft(videos, left_out(foreign, source) + counts, classes)


def lists_among(paths: Iterable[str]) -> str | None:
    """classInd.txt with a list beside it, wherever they lie below a source; None where there is no such file."""
    there = {path for path in paths if not is_hidden(path)}
    folders = (posixpath.dirname(path) for path in sorted(there) if posixpath.basename(path) == CLASSES)
    return next(
        (
            posixpath.join(folder, CLASSES)
            for folder in folders
            if any(posixpath.join(folder, name) in there for split in (1, 2, 3) for name in _names(split)[1:])
        ),
        None,
    )


def with_validation(videos: Sequence[Video], seed: int) -> list[Video]:
    """Validation cut from train as the lists cut test: the same group numbers in every class, about a fifth of them.

    Cut class by class instead, group 3 of one class would be validated on while group 3 of others is trained on. Where
    clips of one number look alike across classes, that teaches "this background is never that class". Where a class
    would be left without training videos, nothing is cut here, and `splits` cuts by class.
    """
    numbers = {video.video_id: _number(video) for video in videos if video.split == "train"}
    present = sorted(set(numbers.values()))
    count = max(round(len(present) * VALIDATION_SHARE), min(2, len(present) // 3))
    chosen = set(np.random.default_rng(seed).permutation(present)[:count].tolist())
    cut = [video._replace(split="val") if numbers.get(video.video_id) in chosen else video for video in videos]
    left = {video.label for video in cut if video.split == "train"}
    return cut if left == {video.label for video in videos if video.split == "train"} else list(videos)


def _number(video: Video) -> str:
    """03 for a video of the group Class_g03."""
    return (video.group or video.video_id).rpartition("_g")[2]


def _names(split: int) -> tuple[str, str, str]:
    return CLASSES, f"trainlist{split:02d}.txt", f"testlist{split:02d}.txt"


def _find_lists(present: set[str], source: str, split: int) -> str:
    """The folder, relative to the source and with its slash, that holds the lists."""
    for folder in LIST_FOLDERS:
        if folder + "classInd.txt" in present:
            absent = [name for name in _names(split) if folder + name not in present]
            if absent:
                raise InputError(f"{below(source)}{folder}{absent[0]} is not there; split {split} needs it")
            return folder
    raise InputError(
        f"UCF101's lists are not in {source}: put {', '.join(_names(split))} into {below(source)}{LIST_FOLDERS[0]}, "
        "or use --dataset folder"
    )


def _classes(text: str) -> list[str]:
    """The class names in the order of classInd.txt, whose numbers are 1..n; a class_index is that number - 1."""
    classes: list[str] = []
    for where, line in lines("classInd.txt", text):
        number, _, name = line.partition(" ")
        if number != str(len(classes) + 1) or not name.strip() or name.strip() in classes:
            raise InputError(f"{where}: {line!r} should be '{len(classes) + 1} ClassName' with a new name")
        classes.append(name.strip())
    return classes


def _listed(text: Mapping[str, str], classes: Sequence[str], split: int) -> dict[str, Listed]:
    """What the two lists say of each video, by `_key`."""
    numbers = {name: str(number) for number, name in enumerate(classes, 1)}
    listed: dict[str, Listed] = {}
    for side, name in zip(("train", "test"), _names(split)[1:], strict=True):
        for where, line in lines(name, text[name]):
            path, _, number = line.partition(" ") if side == "train" else (line, "", "")
            label = path.partition("/")[0]
            if number.strip() not in ("", numbers.get(label)) or label not in numbers:
                raise InputError(f"{where}: {line!r} does not name a class and its number as classInd.txt does")
            add(listed, _key(path), path, Listed(label, side, where))
    return listed


def _key(path: str) -> str:
    """The stem in lower case: HandStandPushups is spelt in two ways."""
    return stem(path).casefold()


def _counts(
    files: Mapping[str, SourceFile], chosen: Mapping[str, Listed], n_listed: int, source: str, split: int
) -> list[str]:
    _, train, test = _names(split)
    if not chosen:
        raise InputError(f"none of the {len(files):,} videos of {source} is named in {train} or {test}; check both")
    warnings = []
    if len(chosen) < n_listed:
        warnings.append(f"{len(chosen):,} of the {n_listed:,} videos listed for split {split} are in {source}")
    strangers = sorted(files.keys() - chosen.keys())
    if strangers:
        warnings.append(
            f"{len(strangers):,} videos of {source} are in neither {train} nor {test}: they have no label and no "
            f"split, so they are embedded but not used for training or test; the first is {strangers[0]!r}"
        )
    return warnings
