"""What a training tells the tools of `log`: each has a process of its own, which may fail or hang by itself."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actionrec.errors import ActionrecError
from actionrec.show import console
from actionrec.storage import layout
from actionrec.storage.store import Store
from actionrec.trackers.run import TrackedRun
from actionrec.trackers.tools import COPIED

CLOSE_S = 30.0  # that a tool is given at the end of a training for what it still has to say
_given_up: set[str] = set()  # tools that have failed in this process: said once, and not begun again


class Tracking:
    """The tools of one root, from the first epoch that they are told of to the end of the block."""

    def __init__(self, names: Sequence[str], store: Store) -> None:
        """`store`: the root's output; the tools' files go into the folder logs/TOOL of it. Begins no process yet."""
        self._names, self._store = names, store
        self._files = contextlib.ExitStack()
        self._feeds: dict[str, _Feed] = {}
        self._told: dict[str, int] = {}  # run -> epochs
        self._last = ""

    def __enter__(self) -> "Tracking":
        return self

    def __exit__(self, *error: object) -> None:
        with self._files:
            for feed in self._feeds.values():
                feed.close()
            self._copy()

    def told(self, run: TrackedRun, history: Sequence[Mapping[str, Any]]) -> None:
        """All epochs of a run so far: those that are new are passed on. Never waits, never raises."""
        if self._told.get(run.key, 0) >= len(history):
            return
        for feed in self._begun():
            if self._last != run.key:
                feed.say({"run": vars(run)})
            for epoch in history[self._told.get(run.key, 0) :]:
                figures = {name: float(value) for name, value in epoch.items() if name != "epoch"}
                feed.say({"epoch": int(epoch["epoch"]) + 1, "figures": figures})
        self._told[run.key], self._last = len(history), run.key

    def _begun(self) -> "list[_Feed]":
        for name in self._names:
            if name not in self._feeds and name not in _given_up:
                try:
                    self._feeds[name] = _Feed(name, self._folder(name))
                except OSError as error:
                    _give_up(name, str(error))
        return [feed for name, feed in self._feeds.items() if name not in _given_up]

    def _folder(self, name: str) -> Path:
        if "://" in self._store.url:
            return Path(self._files.enter_context(tempfile.TemporaryDirectory(prefix="actionrec-logs-"))) / name
        folder = Path(self._store.url, layout.LOGS, name)
        for place in (folder.parent, folder):
            if place.is_symlink():
                raise OSError(f"{place} is a link, and nothing is written through links")
        return folder

    def _copy(self) -> None:
        """Event files of a root that is no folder."""
        feed = self._feeds.get(COPIED)
        if feed is None or "://" not in self._store.url:
            return
        try:
            places = {f"{layout.LOGS}{COPIED}/{run}" for run in self._told}
            for key in self._store.sizes(f"{layout.LOGS}{COPIED}/"):
                if key.rpartition("/")[0] in places:
                    self._store.delete(key)  # of a training that was cut off
            for file in sorted(feed.folder.rglob("*")):
                if file.is_file():
                    self._store.put(f"{layout.LOGS}{COPIED}/{file.relative_to(feed.folder)}", file.read_bytes())
        except (ActionrecError, OSError) as error:
            _give_up(COPIED, str(error))


class _Feed:
    """A tool's process, and the thread that writes to it: only that one waits where the tool does."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self._name = name
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        code = str(Path(__file__).resolve().parents[2])
        known = os.environ.get("PYTHONPATH", "")
        self._process = subprocess.Popen(  # -P: or what lies where the command was typed would be imported for the tool
            [sys.executable, "-P", "-m", "actionrec.trackers.child", name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [code, known]))},
            start_new_session=True,  # no Ctrl-C of a terminal
        )
        self._thread = threading.Thread(target=self._write, name=f"track-{name}", daemon=True)
        self._thread.start()

    def say(self, line: Mapping[str, Any]) -> None:
        if self._process.poll() is None:
            self._lines.put(json.dumps(line, default=str))
        else:
            self._fail()

    def close(self) -> None:
        """Wait for what is still on its way, but not for long."""
        self._lines.put(None)
        try:
            self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            _give_up(self._name, f"it did not take what it was told within {CLOSE_S:.0f} s")
        if self._process.returncode:
            self._fail()
        self._thread.join(1)
        if self._process.stdout:
            self._process.stdout.close()

    def _fail(self) -> None:
        if self._name not in _given_up and self._process.stdout:
            said = self._process.stdout.read().strip()
            _give_up(self._name, said or f"its process ended with exit code {self._process.returncode}")

    def _write(self) -> None:
        pipe = self._process.stdin
        with contextlib.suppress(OSError, ValueError):  # a tool that has ended: whoever speaks to it next says why
            while pipe and (line := self._lines.get()) is not None:
                pipe.write(line + "\n")
                pipe.flush()
        with contextlib.suppress(OSError):
            if pipe:
                pipe.close()


def _give_up(name: str, reason: str) -> None:
    if name not in _given_up:
        _given_up.add(name)
        console.warn([f"{name} is told no more, and the training goes on without it: {reason}"])
