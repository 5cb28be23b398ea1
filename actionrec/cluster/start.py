"""Starts of Ray on a busy machine. Ray gives its own processes 30 seconds, and cannot be told to give them more.

So starts of one user take turns, and one that Ray gave up is made once more: by then what it reads is in memory.
"""

import contextlib
import fcntl
import os
import time
import traceback
from collections.abc import Callable, Iterator

from ray._private.node import Node

from actionrec.show import console

TURN_S = 60.0  # waited for one's turn; a start takes 3 s, or 20 where the cores are shared by many
# Not in Ray's temporary folder, nor in TMPDIR: jobs that share a machine may have their own.
TURNS = f"/tmp/actionrec-start-{os.getuid()}"


def start_in_turn(begin: Callable[[], None]) -> None:
    """Call `begin`, which starts a Ray of this process's own, while no other start of this user is under way.

    Where Ray's processes do not come up they are ended, and `begin` is called once more.
    Raises what `begin` raises then, or where Ray refuses before it starts any process.
    """
    with turn():
        for may_fail in (True, False):
            try:
                return begin()
            except Exception as error:
                if not (_ended_what_is_left_of(error) and may_fail):
                    raise
                said = " ".join(str(error).split())[:300]
                console.warn([f"Ray did not come up, as on a busy machine, and is started once more; it said: {said}"])


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Nobody else's turn lasts while the block runs, but one of more than TURN_S. Without the file: at once."""
    try:  # a link, or another user's file, that somebody has put there is not opened
        file = os.open(TURNS, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        _wait_for(file)
        yield
    finally:
        os.close(file)


def _wait_for(file: int) -> None:
    deadline_s = time.monotonic() + TURN_S
    while time.monotonic() < deadline_s:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)
        except OSError:  # a file system without turns
            return
        else:
            return


def _ended_what_is_left_of(error: Exception) -> bool:
    """Whether a node of Ray's raised while it was made and had started processes: nothing else keeps hold of them."""
    made = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    for node in made:
        if isinstance(node, Node) and node.all_processes:
            node.kill_all_processes(check_alive=False, wait=True)
            return True
    return False
