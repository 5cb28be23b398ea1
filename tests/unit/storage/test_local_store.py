"""Nothing leaves a folder that is a store: not through links in it, and not through links that are made meanwhile."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actionrec.blame import Blame, blame
from actionrec.config import load
from actionrec.errors import ActionrecError, InputError
from actionrec.storage import beneath, layout
from actionrec.storage.beneath import LinkError
from actionrec.storage.local_store import LocalStore
from actionrec.storage.root import Root, begin, open_root

SECRET = b"a canary outside of the store"
WEIGHTS = "weights/frame-net.safetensors"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store with a/b/file and a/b/c/file in it; a sibling folder "outside" holds files of the same names."""
    for top, data in (("root/a/b", b"inside"), ("outside", SECRET)):
        (tmp_path / top / "c").mkdir(parents=True)
        (tmp_path / top / "file").write_bytes(data)
        (tmp_path / top / "c/file").write_bytes(data)
    return LocalStore(str(tmp_path / "root"))


def state_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in files}


Action = Callable[[LocalStore], Any]
ACTIONS: dict[str, Action] = {
    "read": lambda store: store.read("a/b/file"),
    "exists": lambda store: store.exists("a/b/file"),
    "put": lambda store: store.put("a/b/file", b"new"),
    "put a new key": lambda store: store.put_new("a/b/new", b"new"),
    "put a key that is there": lambda store: store.put_new("a/b/file", b"new"),
    "put into a new folder": lambda store: store.put("a/b/d/e/file", b"new"),
    "sizes": lambda store: store.sizes("a/"),
    "sizes of the folder": lambda store: store.sizes("a/b/"),
    "versions": lambda store: store.versions("a/"),
    "delete a key": lambda store: store.delete("a/b/file"),
    "delete a prefix": lambda store: store.delete("a/"),
    "delete the folder": lambda store: store.delete("a/b/"),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_a_folder_that_is_a_link_leads_nowhere(name: str, store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "root/a/b").rename(tmp_path / "root/moved")
    (tmp_path / "root/a/b").symlink_to(tmp_path / "outside")
    before = state_of(tmp_path / "outside")
    if name in ("delete a prefix", "delete the folder"):
        ACTIONS[name](store)
        assert not os.path.lexists(tmp_path / "root/a/b")  # the link itself
    else:
        with pytest.raises(InputError, match=r"root/a/b.*link"):
            ACTIONS[name](store)
    assert state_of(tmp_path / "outside") == before


class Exchange:
    """Exchanges root/a/b for a link to the outside just before the n-th time that this process touches a file."""

    EVENTS = ("open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "os.link", "os.symlink")

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.left = 0
        sys.addaudithook(self._hook)  # hooks stay until the process ends, so there is one, which sleeps

    def _hook(self, event: str, _: Any) -> None:
        if self.folder is not None and event in self.EVENTS:
            self.left -= 1
            if self.left == 0:
                folder, self.folder = self.folder, None
                (folder / "root/a/b").rename(folder / "root/moved")
                (folder / "root/a/b").symlink_to(folder / "outside")


@pytest.fixture(scope="module")
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def stores(tmp_path: Path, store: LocalStore) -> Iterator[Callable[[int], Path]]:
    """The n-th copy of tmp_path, so that each exchange has a folder of its own."""
    import shutil

    def copy(number: int) -> Path:
        return Path(shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-{number}"), symlinks=True))

    yield copy
    for path in tmp_path.parent.glob(f"{tmp_path.name}-*"):
        shutil.rmtree(path)


@pytest.mark.parametrize("name", ACTIONS)
def test_a_link_that_is_made_meanwhile_leads_nowhere_either(
    name: str, stores: Callable[[int], Path], exchange: Exchange
) -> None:
    """The exchange is tried before the first touch of a file, before the second, and so on to the last."""
    for number in range(1, 100):
        folder = stores(number)
        before, found = state_of(folder / "outside"), None
        exchange.left, exchange.folder = number, folder
        try:
            found = ACTIONS[name](LocalStore(str(folder / "root")))
        except (ActionrecError, OSError):
            pass
        finally:
            came, exchange.folder = exchange.folder is None, None
        assert state_of(folder / "outside") == before, number
        assert found != SECRET and len(SECRET) not in getattr(found, "values", tuple)(), number
        if not came:
            break
    assert 1 < number < 99, "the exchange came never, or always"


def test_replacing_a_stage_removes_links_and_not_what_they_name(tmp_path: Path, store: LocalStore) -> None:
    root = open_root(store.url, [{"data": {"source": "/videos"}}])
    root.store.put(layout.CATALOG, b"x")
    root.save_config()
    begin(root, "tune", {})
    (tmp_path / "root/tune").mkdir()
    (tmp_path / "root/tune/rnn").symlink_to(tmp_path / "outside")
    before = state_of(tmp_path / "outside")
    open_root(store.url, replace="tune").clear("tune")
    assert state_of(tmp_path / "outside") == before
    assert not os.path.lexists(tmp_path / "root/tune/rnn")


def test_what_is_learnt_without_a_class_stays_within_the_root_too(tmp_path: Path, store: LocalStore) -> None:
    output = Root(store, load([]), None, holdout="a class").output
    output.put("models/x", b"x")
    assert store.read(f"{layout.holdout('a class')}/models/x") == b"x" == output.read("models/x")
    (tmp_path / "root/holdout").rename(tmp_path / "elsewhere")
    (tmp_path / "root/holdout").symlink_to(tmp_path / "elsewhere")
    for again in (output, LocalStore(output.url)):  # as a worker opens it, by its URL
        for action in (lambda s: s.read("models/x"), lambda s: s.put("models/y", b"y"), lambda s: s.sizes("models/")):
            with pytest.raises(LinkError):
                action(again)
    assert [path.name for path in (tmp_path / "elsewhere").rglob("models/*")] == ["x"]


def test_the_root_itself_may_be_a_link_or_lie_below_one(tmp_path: Path, store: LocalStore) -> None:
    (tmp_path / "link").symlink_to("root")
    (tmp_path / "root/to a").symlink_to(tmp_path / "root/a")
    for url in (tmp_path / "link", tmp_path / "link/a/.."):
        through = LocalStore(str(url))
        through.put("new/key", b"x")
        assert through.read("to a/b/file") == b"inside" and "to a/b/c/file" in through.sizes()
        through.delete("new/key")
    (tmp_path / "to come").symlink_to(tmp_path / "other disk")
    LocalStore(str(tmp_path / "to come")).put("key", b"x")
    assert (tmp_path / "other disk/key").read_bytes() == b"x"


def test_links_that_stay_within_the_folder_are_read_and_listed(tmp_path: Path, store: LocalStore) -> None:
    (tmp_path / "root/sibling").symlink_to("a")
    (tmp_path / "root/a/video").symlink_to(tmp_path / "root/a/b/file")
    (tmp_path / "root/by way of").symlink_to("../root/a/b/c")  # within it, though the way there is not
    wanted = {"a/b/file", "a/b/c/file", "a/video", "by way of/file"}
    wanted |= {"sibling/b/file", "sibling/b/c/file", "sibling/video"}
    assert store.sizes() == dict.fromkeys(wanted, len(b"inside"))
    assert set(store.versions("sibling/")) == {"sibling/b/file", "sibling/b/c/file", "sibling/video"}
    assert all(store.read(key) == b"inside" and store.exists(key) for key in wanted)


def test_writing_and_deleting_touch_the_link_and_never_what_it_names(tmp_path: Path, store: LocalStore) -> None:
    for name in ("replaced", "deleted"):
        (tmp_path / f"root/{name}").symlink_to(tmp_path / "outside/file")
    (tmp_path / "root/inner").symlink_to("a")
    before = state_of(tmp_path / "outside")
    store.put("replaced", b"mine")
    store.delete("deleted")
    assert store.read("replaced") == b"mine" and not (tmp_path / "root/replaced").is_symlink()
    for action in (lambda: store.put("inner/b/file", b"x"), lambda: store.delete("inner/b/file")):
        with pytest.raises(LinkError, match="root/inner: this is a link"):
            action()
    store.delete("inner/")
    assert set(store.sizes()) == {"replaced", "a/b/file", "a/b/c/file"}
    assert state_of(tmp_path / "outside") == before


def test_links_in_a_circle_end_in_a_sentence_or_as_no_file(tmp_path: Path, store: LocalStore) -> None:
    (tmp_path / "root/self").symlink_to("self")
    (tmp_path / "root/one").symlink_to("other")
    (tmp_path / "root/other").symlink_to("one")
    assert {key for key, size in store.sizes().items() if size is None} == {"self", "one", "other"}
    assert not store.exists("self")
    with pytest.raises((FileNotFoundError, LinkError)):
        store.read("one")
    for target in (".", "..", tmp_path / "root"):
        (tmp_path / "root/a/round").unlink(missing_ok=True)
        (tmp_path / "root/a/round").symlink_to(target)
        with pytest.raises(InputError, match="round: this link lies in a folder that is one"):
            store.sizes()


def test_what_a_read_failed_of_can_be_judged(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **more: object) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(beneath, "read", fail)
    with pytest.raises(ActionrecError, match="cannot be read") as caught:
        store.read("key")
    assert blame(caught.value) is Blame.PROCESS


def test_many_links_to_each_other_do_not_multiply(tmp_path: Path) -> None:
    """Each folder holds two links to the next one: followed without end, 30 folders would list 2^30 files."""
    for level in range(30):
        (tmp_path / f"{level}").mkdir()
        for name in "ab":
            (tmp_path / f"{level}/{name}").symlink_to(f"../{level + 1}")
    (tmp_path / "30").mkdir()
    with pytest.raises(InputError, match="lies in a folder that is one"):
        LocalStore(str(tmp_path)).sizes()


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to nowhere", "link to nowhere outside"])
def test_what_is_no_file_is_no_object_and_in_nobodys_way(kind: str, tmp_path: Path, store: LocalStore) -> None:
    path = tmp_path / "root/key"
    make: dict[str, Callable[[], None]] = {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "link to nowhere": lambda: path.symlink_to("nowhere"),
        "link to nowhere outside": lambda: path.symlink_to(tmp_path / "nowhere"),
    }
    make[kind]()
    assert store.sizes().get("key") is None
    with pytest.raises((FileNotFoundError, LinkError)):
        store.read("key")
    if kind != "link to nowhere outside":
        assert not store.exists("key")
    with pytest.raises(InputError, match="key: "):
        store.put_new("key", b"x")
    if kind == "folder":
        with pytest.raises(ActionrecError, match="cannot be written"):
            store.put("key", b"x")
        with pytest.raises(ActionrecError, match="cannot be deleted"):
            store.delete("key")
    else:
        store.put("key", b"x")
        assert store.read("key") == b"x"
    assert not (tmp_path / "nowhere").exists()
    assert not list((tmp_path / "root").rglob(".tmp-*"))


def test_another_name_of_a_file_is_not_written_through(tmp_path: Path, store: LocalStore) -> None:
    os.link(tmp_path / "outside/file", tmp_path / "root/hard")
    assert store.read("hard") == SECRET
    store.put("hard", b"mine")
    os.link(tmp_path / "outside/c/file", tmp_path / "root/harder")
    store.delete("harder")
    assert (tmp_path / "outside/file").read_bytes() == SECRET == (tmp_path / "outside/c/file").read_bytes()


def test_weights_may_be_links_to_files_elsewhere_and_are_read_only(tmp_path: Path, store: LocalStore) -> None:
    (tmp_path / "root/weights").mkdir()
    link = tmp_path / "root" / WEIGHTS
    link.symlink_to(tmp_path / "outside/file")
    before = state_of(tmp_path / "outside")
    assert store.exists(WEIGHTS) and store.read(WEIGHTS) == SECRET
    assert store.sizes("weights/") == {WEIGHTS: len(SECRET)}
    assert not store.put_new(WEIGHTS, b"mine")
    store.put(WEIGHTS, b"mine")
    assert store.read(WEIGHTS) == b"mine" and not link.is_symlink()
    link.unlink()
    link.symlink_to(tmp_path / "outside/file")
    store.delete(WEIGHTS)
    assert not os.path.lexists(link)
    link.symlink_to("/dev/zero")  # would be read for ever
    assert store.sizes("weights/") == {WEIGHTS: None} and not store.exists(WEIGHTS)
    with pytest.raises(FileNotFoundError, match="no regular file"):
        store.read(WEIGHTS)
    assert state_of(tmp_path / "outside") == before


@pytest.mark.parametrize("key", ["weights/x.json", "weights/in/x.safetensors", "models/x.safetensors", "weights/x.mp4"])
def test_no_other_file_may_be_a_link_to_elsewhere(key: str, tmp_path: Path, store: LocalStore) -> None:
    (tmp_path / "root" / key).parent.mkdir(parents=True)
    (tmp_path / "root" / key).symlink_to(tmp_path / "outside/file")
    for action in (lambda: store.read(key), lambda: store.exists(key), store.sizes):
        with pytest.raises(InputError, match="leads out of"):
            action()


def test_the_folder_of_weights_may_not_be_a_link_to_elsewhere(tmp_path: Path, store: LocalStore) -> None:
    (tmp_path / "outside/frame-net.safetensors").write_bytes(SECRET)
    (tmp_path / "root/weights").symlink_to(tmp_path / "outside")
    for action in (lambda: store.read(WEIGHTS), lambda: store.put(WEIGHTS, b"x"), lambda: store.sizes("weights/")):
        with pytest.raises(LinkError):
            action()
    assert (tmp_path / "outside/frame-net.safetensors").read_bytes() == SECRET


def test_a_system_that_cannot_hold_folders_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beneath, "SUPPORTED", False)
    with pytest.raises(InputError, match="use Linux or macOS"):
        LocalStore(str(tmp_path))


def test_no_descriptor_is_left_open(tmp_path: Path, store: LocalStore) -> None:
    (tmp_path / "root/out").symlink_to(tmp_path / "outside")
    before = len(os.listdir("/dev/fd"))
    for action in ACTIONS.values():
        action(store)
    for hostile in (lambda: store.read("out/file"), lambda: store.put("out/x", b""), lambda: store.read("a/b")):
        with pytest.raises((LinkError, FileNotFoundError)):
            hostile()
    assert len(os.listdir("/dev/fd")) == before
