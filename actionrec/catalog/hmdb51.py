"""HMDB51 and data sets of its shape: files SOURCE_CLASS_u_cm_np1_fr_med_0.avi and a list a class and split.

Kuehne et al. 2011 publish three splits as files CLASS_test_splitN.txt, whose lines say of each clip of the class
whether it is learnt (1), tested (2) or neither (0). The lists, not the folders, give the labels. A group is the film or
video that clips were cut from: all of the name before the class. The lists are drawn up class by class, so one film
may be learnt as `walk` and tested as `drink`: a group on two sides is a warning here, not an error. Validation is cut
from train by whole films.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from actionrec.catalog.official import Listed, add, lines, match
from actionrec.catalog.source import Draft, SourceFile, Video, below, decoded, is_hidden, left_out, nfc, stem, videos_of
from actionrec.errors import InputError

LIST_FOLDER = "testTrainMulti_7030_splits/"  # where the lists usually lie; any folder will do
SIDES: Mapping[str, str | None] = {"0": None, "1": "train", "2": "test"}
_LIST = re.compile(r"(?P<label>.+)_test_split(?P<split>[0-9]+)\.txt", re.DOTALL)
# Visible body parts, camera motion, people, viewpoint, quality, and the clip's number within its source.
_TAIL = re.compile(r"_[a-z]_[a-z]{2}_np[0-9]+_[a-z]{2}_[a-z]{3}_[0-9]+")


def read_hmdb51(listing: Sequence[SourceFile], read: Callable[[str], bytes], source: str, split: int) -> Draft:
    """The videos below ``source``, labelled and split by the lists of official split 1, 2 or 3, wherever those lie.

    Raises:
        InputError: no videos; no list of this split; a list that is malformed or contradicts another; two files for one
            listed video.
    """
    files, others = videos_of(listing, source)
    lists = _find_lists(listing, source, split)
    listed = _listed({path: (label, read(below(source) + path)) for label, path in lists.items()})
    chosen = match(files, listed, stem)
    prefix = below(source)
    videos = []
    for video_id, file in files.items():
        entry = chosen.get(video_id)
        label, side = (entry.label, entry.split) if entry else (None, None)
        group = group_of(video_id, [label] if label else lists)
        videos.append(Video(video_id, prefix + file.relative_path, label, group, side, file.bytes))
    foreign = [path for path in others if not _LIST.fullmatch(posixpath.basename(path))]
    counts = _counts(files, listed, chosen, source, split)
    return Draft(videos, left_out(foreign, source) + counts, sorted(lists))


def group_of(video_id: str, classes: Iterable[str]) -> str | None:
    """SOURCE of a file called SOURCE_CLASS_u_cm_np1_fr_med_0, of the longest CLASS that fits; else None."""
    name = stem(video_id)
    tails = list(_TAIL.finditer(name))
    if not tails or tails[-1].end() != len(name):
        return None
    head = name[: tails[-1].start()]
    fitting = [label for label in classes if head.endswith(f"_{label}") and len(head) > len(label) + 1]
    return head[: -len(max(fitting, key=len)) - 1] if fitting else None


def lists_among(paths: Iterable[str]) -> str | None:
    """A list of HMDB51's, wherever it lies below a source; None where there is none."""
    return next(
        (path for path in sorted(paths) if _LIST.fullmatch(posixpath.basename(path)) and not is_hidden(path)), None
    )


def _find_lists(listing: Sequence[SourceFile], source: str, split: int) -> dict[str, str]:
    """The path of each class's list of this split."""
    found: dict[str, str] = {}
    for path in sorted(file.relative_path for file in listing):
        name = _LIST.fullmatch(posixpath.basename(path))
        if name and name["split"] == str(split) and not is_hidden(path):
            first = found.setdefault(nfc(name["label"]), path)
            if first != path:
                raise InputError(f"{below(source)}{first} and {path} are both the list of {name['label']}; remove one")
    if not found:
        raise InputError(
            f"HMDB51's lists are not in {source}: put CLASS_test_split{split}.txt of every class into "
            f"{below(source)}{LIST_FOLDER}, or use --dataset folder"
        )
    return found


def _listed(lists: Mapping[str, tuple[str, bytes]]) -> dict[str, Listed]:
    """What the lists say of each video, by its stem."""
    listed: dict[str, Listed] = {}
    for path, (label, content) in lists.items():
        for where, line in lines(path, nfc(decoded(content, path))):
            name, _, side = line.replace("\t", " ").rpartition(" ")
            if not name.strip() or side not in SIDES:
                raise InputError(f"{where}: {line!r} should be a file's name and 0, 1 (train) or 2 (test)")
            add(listed, stem(name.strip()), name.strip(), Listed(label, SIDES[side], where))
    return listed


def _counts(
    files: Mapping[str, SourceFile], listed: Mapping[str, Listed], chosen: Mapping[str, Listed], source: str, split: int
) -> list[str]:
    if not chosen:
        raise InputError(f"none of the {len(files):,} videos of {source} is named in its lists of split {split}")
    warnings = []
    if len(chosen) < len(listed):
        warnings.append(f"{len(chosen):,} of the {len(listed):,} videos listed for split {split} are in {source}")
    strangers = sorted(files.keys() - chosen.keys())
    if strangers:
        warnings.append(
            f"{len(strangers):,} videos of {source} are in no list of split {split}: they have no label and no split, "
            f"so they are embedded but not used for training or test; the first is {strangers[0]!r}"
        )
    return warnings
