"""The videos that a person names for a verb: files, folders, patterns and URLs."""

import glob
import os
import re
from collections.abc import Iterable, Sequence

from actionrec.catalog.source import below, has_video_extension, is_hidden
from actionrec.config import Storage
from actionrec.errors import InputError
from actionrec.storage.store import named_file, open_store

PATTERN = re.compile(r"[*\[]")  # of a URL; the ? of a local pattern is where a URL's query begins


def videos_asked(names: Sequence[str], storage: Storage) -> list[str]:
    """Every video that is named, once, in the order of `names`; those of a folder or pattern in the order of paths.

    A file is taken whatever it is called; of a folder, with all folders below it, and of a pattern the files with a
    video's extension, as `catalog` takes them. `**` stands for any number of folders. A name that is there is no
    pattern. InputError: nothing is there, or no video; ActionrecError: a store cannot be reached.
    """
    found: dict[str, str] = {}
    for name in names:
        for video in _remote(name, storage) if "://" in name else _local(name, storage):
            found.setdefault(video if "://" in video else os.path.abspath(os.path.expanduser(video)), video)
    return list(found.values())


def _local(name: str, storage: Storage) -> list[str]:
    path = os.path.expanduser(name)
    if os.path.isdir(path):
        return _of_folder(name, storage)
    if name and os.path.exists(path):
        return [name]
    if not glob.has_magic(path):
        raise InputError(f"{name or repr(name)}: there is no such file or folder, or it may not be read; correct it")
    videos: list[str] = []
    for match in sorted(glob.glob(path, recursive=True)):
        if os.path.isdir(match):
            videos += _of_keys(match, open_store(match, storage).sizes())
        elif has_video_extension(match):
            videos.append(match)
    return _some(name, sorted(videos))


def _remote(url: str, storage: Storage) -> list[str]:
    store, name = named_file(url, storage)
    if name and store.exists(name):
        return [url]
    if PATTERN.search(url):
        return _of_pattern(url, storage)
    return _of_folder(url, storage)


def _of_folder(folder: str, storage: Storage) -> list[str]:
    keys = open_store(folder, storage).sizes()
    if not keys and "://" in folder:
        raise InputError(f"{folder}: there is no such file or folder; correct it")
    videos = _of_keys(folder, keys)
    if not videos:
        raise InputError(
            f"{folder} holds no videos ({len(keys):,} other files); name a folder with files such as .avi, .mp4, .mov, "
            ".mkv or .webm"
        )
    return videos


def _of_pattern(url: str, storage: Storage) -> list[str]:
    """The objects that match, or lie below a folder that does."""
    from fsspec.utils import glob_translate

    scheme, _, path = url.partition("://")
    folders = path.split("/")
    fixed = next(place for place, folder in enumerate(folders) if PATTERN.search(folder))
    if not fixed:
        raise InputError(f"{url}: the bucket of a pattern must be named in full")
    folder = f"{scheme}://{'/'.join(folders[:fixed])}"
    matches = re.compile(glob_translate("/".join(folders[fixed:]))).match
    keys = open_store(folder, storage).sizes()
    return _some(url, _of_keys(folder, (key for key in keys if any(map(matches, _with_folders(key))))))


def _with_folders(key: str) -> list[str]:
    """A key, and every folder that it lies in."""
    names = key.split("/")
    return ["/".join(names[: place + 1]) for place in range(len(names))]


def _of_keys(folder: str, keys: Iterable[str]) -> list[str]:
    return [below(folder) + key for key in sorted(keys) if has_video_extension(key) and not is_hidden(key)]


def _some(pattern: str, videos: list[str]) -> list[str]:
    if not videos:
        raise InputError(f"{pattern}: no video matches; quote the pattern, and write **/ for folders of any depth")
    return videos
