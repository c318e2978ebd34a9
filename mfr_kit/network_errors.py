"""What goes wrong between this machine and an object behind a URL, in one line."""

import contextlib
import errno
import itertools
import time
from collections.abc import Callable, Iterator

from mfr_kit.errors import KitError, SetError

TRIES = 3  # of a read that the network interrupts


def retried(read: Callable[[], bytes]) -> bytes:
    """Read again what the network interrupted, three times in all."""
    for attempt in itertools.count(1):
        try:
            return read()
        except Exception as error:
            if attempt == TRIES or isinstance(error, KitError) or _is_final(error):
                raise
            time.sleep(0.5 * attempt)
    raise AssertionError


def _is_final(error: Exception) -> bool:
    """Whether a server answered and will not answer otherwise."""
    refused = isinstance(error, FileNotFoundError | PermissionError)
    return refused or getattr(error, "errno", None) == errno.EINVAL


def is_absent(error: FileNotFoundError) -> bool:
    """Whether a server said that an object is not there: no bucket and no server raise the same."""
    cause = error.__cause__ or error.__context__
    if "bucket does not exist" in str(error) or "NoSuchBucket" in str(cause):
        return False
    if cause is None or isinstance(cause, FileNotFoundError):
        return True
    answer = getattr(cause, "response", None) or {}
    status = getattr(cause, "status", None)
    if isinstance(answer, dict):
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", status)
    return status == 404


@contextlib.contextmanager
def reading(url: str) -> Iterator[None]:
    """Put what any of the libraries below raises into one line; a `SetError`, unless an object is
    not there: a network that fails leaves out no photograph.
    """
    try:
        yield
    except KitError:
        raise
    except Exception as error:  # noqa: BLE001  botocore's, aiohttp's and Google's share no class
        gone = isinstance(error, FileNotFoundError) and is_absent(error)
        raise (KitError if gone else SetError)(f"{url}: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    kind, text = type(error).__name__, (str(error) or type(error).__name__).splitlines()[0]
    if "Credential" in kind or "credential" in text.lower():
        return (
            f"no credentials ({text}): set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY (gs://: GOOGLE_APPLICATION_CREDENTIALS)"
        )
    if isinstance(error, PermissionError):
        return f"no permission to read it, or to see that it is not there ({text})"
    if isinstance(error, FileNotFoundError):
        cause = error.__cause__ or error.__context__
        why = f" ({str(cause).splitlines()[0]})" if cause is not None and str(cause) else ""
        return f"there is nothing to read{why or f' ({text})'}"
    return f"cannot be read ({text})"
