"""Which errors of a server pass, and how long it is asked again: one table and one loop for every request of ours.

The layers below (s3fs, botocore) are set to a single try, or their repeats would multiply with these. One remains:
where a connection that had been kept turns out to be dead, aiohttp opens another at once.
"""

import http.client
import random
import time
import urllib.error
from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")
TRIES = 8
DAMAGED_TRIES = 3  # of an object whose checksum does not fit: it may well lie there so
FEWEST_TRIES = 3  # however long each of them took
PATIENCE_S = 60.0  # of tries that hang
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 4.0  # so the pauses are some 10 s in all: a server may have been started anew

# Of what is no 5xx: too slow, a race with another writer, too much at once.
PASSING_STATUSES = {408, 409, 425, 429}
LASTING_5XX = {501, 505}  # not implemented, another HTTP version
# Where the status alone is that of a refusal (400), as S3 and what speaks like it spell them.
PASSING_CODES = {
    "BadDigest",
    "BandwidthLimitExceeded",
    "IncompleteBody",
    "InternalError",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "PriorRequestNotComplete",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "TooManyRequestsException",
    "TransactionInProgressException",
    "XAmzContentSHA256Mismatch",
}
BROKEN_OFF = {"ReadError", "ReadTimeout", "RemoteProtocolError"}  # as the hub's client calls it


class Answer(NamedTuple):
    """What a server said in place of what was asked for; code and message may be empty."""

    status: int
    code: str
    message: str


class NoAnswerError(Exception):
    """A success by its status, but no answer to what was asked."""


def patiently(action: Callable[[], T]) -> T:
    """What `action` returns; tried again, after a pause, where it ended in an error that passes. Its last error."""
    begun_s, tried = time.monotonic(), 0
    while True:
        tried += 1
        try:
            return action()
        except Exception as error:
            late = tried >= FEWEST_TRIES and time.monotonic() - begun_s > PATIENCE_S
            if late or tried >= tries_for(error):
                raise
        time.sleep(pause_s(tried))


def pause_s(tried: int) -> float:
    """Before the next try, after so many: doubled each time, of random length lest many workers come back as one."""
    longest_s: float = min(FIRST_PAUSE_S * 2 ** (tried - 1), LONGEST_PAUSE_S)
    return longest_s * random.uniform(0.5, 1.0)


def tries_for(error: Exception) -> int:
    """How many tries a request is worth that ended in `error`, the first one included."""
    if is_damage(error):
        return DAMAGED_TRIES
    return TRIES if _passes(error) else 1


def is_damage(error: BaseException) -> bool:
    """What arrived does not fit its checksum, as each library calls that."""
    return "Checksum" in type(error).__name__


def answer_to(error: BaseException) -> Answer | None:
    """The answer that a library made `error` of; None where there was none."""
    for each in (error, error.__cause__):  # s3fs translates botocore's errors and keeps them as the cause
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            stated = response.get("Error", {})
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = stated.get("Code") or ""
            return Answer(status, "" if code == str(status) else code, stated.get("Message") or "")
        if isinstance(each, urllib.error.HTTPError):
            return Answer(each.code, "", each.msg)
        if status := getattr(response, "status_code", 0):
            return Answer(status, "", "")
    return None


def _passes(error: Exception) -> bool:
    if answer := answer_to(error):
        fault_of_the_server = answer.status >= 500 and answer.status not in LASTING_5XX
        return fault_of_the_server or answer.status in PASSING_STATUSES or answer.code in PASSING_CODES
    if isinstance(error, urllib.error.URLError):  # nothing was reached: no network, most often
        return isinstance(error.reason, ConnectionResetError)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return False
    return isinstance(error, _passing_kinds()) or type(error).__name__ in BROKEN_OFF


def _passing_kinds() -> tuple[type[Exception], ...]:
    """No answer, or a piece of one: refused, reset, timed out, cut off, or not to be parsed."""
    import aiohttp
    import botocore.exceptions as boto
    from botocore.parsers import ResponseParserError

    of_boto = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, ResponseParserError)
    return (*of_boto, aiohttp.ClientError, http.client.HTTPException, ConnectionError, TimeoutError, NoAnswerError)
