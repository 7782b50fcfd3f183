"""The job id in a path. What cannot be one is answered like an id that nobody has: there is no such job."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Path

from reelwork.errors import JobNotFound
from reelwork.events import JOB_ID_PATTERN


def checked_job_id(job_id: Annotated[str, Path(description="As returned when the job was submitted.")]) -> str:
    """Raises JobNotFound for a malformed id."""
    if re.fullmatch(JOB_ID_PATTERN.removesuffix("$"), job_id) is None:
        raise JobNotFound("this is not the id of a job: an id has 1 to 64 letters, digits, '-' and '_'")
    return job_id


JobId = Annotated[str, Depends(checked_job_id)]
