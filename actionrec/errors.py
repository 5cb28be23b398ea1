"""Every way the project can fail, each with the exit code or the reason code a person acts on.

An error's text is one plain sentence: what is wrong, in which file, and what to do about it.
"""

from enum import StrEnum


class ActionrecError(Exception):
    """The work cannot finish (exit code 1)."""

    exit_code = 1


class InputError(ActionrecError):
    """Bad input or configuration, found before any work was done (exit code 2)."""

    exit_code = 2


class GoneError(InputError):
    """What is to be read is not there, or not any more: videos, a file of features, a bucket."""


class DamagedError(ActionrecError):
    """What arrived of an object is not what its store holds, several times in a row."""


class Reason(StrEnum):
    """Why one video failed. Stored in the status table, so a value is never renamed."""

    EMPTY = "empty"  # zero bytes
    NOT_VIDEO = "not_video"  # no container that we accept begins like this
    NO_DECODER = "no_decoder"  # a track's codec is none that we can decode; of a sound track it is no failure
    NO_FRAMES = "no_frames"  # no video track, or a track with nothing in it
    TRUNCATED = "truncated"  # fewer frames than the file declares
    CORRUPT = "corrupt"  # the decoder reported damaged data
    TOO_LARGE = "too_large"  # the header promises more than limits.* allows
    TIMEOUT = "timeout"  # the decoder ran longer than limits.decode_timeout_s
    MEMORY = "memory"  # the decoder needed more than limits.decode_memory_gib
    DECODER_CRASH = "decoder_crash"  # the decoder's process died
    FORMAT_REFUSED = "format_refused"  # a container that can open other files
    MISSING = "missing"  # the file is not there, or may not be read
    INTEGRITY = "integrity"  # the bytes read are not the bytes catalogued
    WORKER_CRASH = "worker_crash"  # computing this video ended its worker several times
    COMPUTE = "compute"  # a network or an algorithm failed on it
    NON_FINITE = "non_finite"  # a network produced NaN or infinity


class VideoError(ActionrecError):
    """One video cannot be used; the job goes on and the status table keeps the reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["VideoError"], tuple[Reason, str]]:
        return VideoError, (self.reason, self.detail)  # args differ from __init__'s, so pickle needs telling
