"""Pictures for the report: a fault of the machine ends the report, which is not made again once it is there."""

import errno
from pathlib import Path

import pytest

from actionrec.errors import ActionrecError
from actionrec.report import stills
from actionrec.report.stills import NoFrame
from actionrec.storage.root import open_root
from tests.tiny_roots import new_root, write_clips


def test_a_missing_video_has_no_picture_and_a_fault_of_the_machine_is_no_such_thing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = write_clips(tmp_path / "videos", (0, 1))
    root = open_root(str(new_root(tmp_path / "root", tmp_path / "videos")))
    (tmp_path / "videos" / first).unlink()
    found = stills.frames_of(root, {first: None, second: None})
    assert found[first] == NoFrame(f"{first}: no frame can be shown (its file is not there any more)", is_away=True)
    assert not isinstance(found[second], NoFrame)

    def fail(*arguments: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(stills, "open_store", fail)
    with pytest.raises(ActionrecError, match="Too many open files; this is the machine's fault"):
        stills.frames_of(root, {second: None})
