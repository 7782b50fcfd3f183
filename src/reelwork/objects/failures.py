"""What goes wrong in an object store, in words of ours. No credential and no signature is ever in them."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator
from typing import Final

from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

from reelwork.errors import ObjectExists, ObjectNotFound, StoreUnavailable

REASON_LENGTH: Final = 300
BELOW_A_FILE: Final = f"(os error {errno.ENOTDIR})"

NO_CREDENTIALS: Final = (
    "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
)

_ANSWER: Final = re.compile(r"<Code>([^<]{1,100})</Code>(?:\s*<Message>([^<]{0,300})</Message>)?")
_HOST: Final = re.compile(r"Error performing [A-Z]+ (https?://[^/\s?]+)")
_STATUS: Final = re.compile(r"status code: (\d{3}[A-Za-z -]*)")
_CAUSE: Final = re.compile(r'(?:message|error): "([^"]{1,200})"')
_KIND: Final = re.compile(r"kind: ([A-Z][a-z]+)")
_QUERY: Final = re.compile(r"(https?://[^\s?]*)\?\S*")
_NO_BUCKET: Final = "<Code>NoSuchBucket</Code>"
_CLOCKS_DIFFER: Final = "RequestTimeTooSkewed"
_METADATA_SERVICE: Final = "http://169.254.169.254/"  # asked for a role where nothing else gives credentials


class StoreRefuses(StoreUnavailable):
    """The object store does not let us: wrong credentials, or too few rights. Someone may mend that meanwhile."""


@contextlib.contextmanager
def translated(key: str) -> Iterator[None]:
    """Raises ObjectNotFound, ObjectExists, StoreRefuses or StoreUnavailable for what obstore raises."""
    try:
        yield
    except FileNotFoundError as error:
        if _NO_BUCKET in str(error):
            raise StoreUnavailable(f"the bucket of the object store does not exist: {reason(error)}") from None
        raise ObjectNotFound(f"there is no object {key}") from None
    except AlreadyExistsError:
        raise ObjectExists(f"object {key} is there already") from None
    except (PermissionDeniedError, UnauthenticatedError) as error:
        why = reason(error)
        if why.startswith(_CLOCKS_DIFFER):
            raise StoreUnavailable(
                f"the object store refuses {key}: {why}; set the clock of this machine right"
            ) from None
        raise StoreRefuses(f"the object store refuses {key}: {why}") from None
    except (BaseError, OSError) as error:
        if BELOW_A_FILE in str(error):
            raise ObjectNotFound(f"there is no object {key}: a part of its name is an object itself") from None
        why = reason(error)
        kind = StoreRefuses if why == NO_CREDENTIALS else StoreUnavailable
        raise kind(f"the object store fails with {key}: {why}") from None


def reason(error: BaseException) -> str:
    """What the server has answered, or why there was no answer; else the first line of obstore's own words."""
    text = str(error)
    if _METADATA_SERVICE in text:
        return NO_CREDENTIALS
    answer, host, status = _ANSWER.search(text), _HOST.search(text), _STATUS.search(text)
    if answer is not None:
        return f"{answer[1]}: {answer[2]}" if answer[2] else answer[1]
    if host is not None and status is not None:
        return f"{host[1]} answered {status[1].strip()}"
    if host is not None:
        cause = _CAUSE.search(text) or _KIND.search(text)
        return f"{host[1]} does not answer" + (f" ({cause[1]})" if cause else "")
    first = text.splitlines()[0] if text else type(error).__name__
    return _QUERY.sub(r"\1", first)[:REASON_LENGTH]
