"""Keys are made from what is known to be harmless, and from nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reelwork.objects import keys

JOB = "0f5b3a8e-7a51-4e29-8c39-3d3f4ad3c001"
SHA256 = "ab" * 32


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (keys.upload_key(JOB, "products", 7), f"input/{JOB}/products/00007"),
        (keys.image_key(SHA256), f"images/{SHA256}"),
        (keys.feature_key(SHA256, "efficientnet-lite0@57934424"), f"features/{SHA256}/efficientnet-lite0@57934424.npz"),
        (keys.frame_key(SHA256, "keyframes@1", 42), f"frames/{SHA256}/keyframes@1/000042.jpg"),
        (keys.keyframes_key(SHA256, "keyframes@1"), f"frames/{SHA256}/keyframes@1/keyframes.json"),
        (keys.artifact_key(JOB, "report.html"), f"jobs/{JOB}/artifacts/report.html"),
        (keys.artifact_key(JOB, "evidence/00001.jpg"), f"jobs/{JOB}/artifacts/evidence/00001.jpg"),
        (keys.notes_key(JOB, "products"), f"jobs/{JOB}/notes/products.json"),
        (keys.stereo_plan_key(JOB), f"jobs/{JOB}/segments/plan.json"),
        (keys.build_output_segment_key(JOB, 7), f"jobs/{JOB}/segments/7.mp4"),
        (keys.final_key(JOB), f"jobs/{JOB}/final.mp4"),
        (keys.artifact_key(JOB, "final.mp4"), f"jobs/{JOB}/final.mp4"),
    ],
)
def test_a_key_is_that_of_the_design(key: str, expected: str) -> None:
    assert key == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: keys.upload_key("../other", "products", 0),
        lambda: keys.upload_key(JOB, "Products", 0),
        lambda: keys.image_key(SHA256.upper()),
        lambda: keys.image_key(SHA256[:-1]),
        lambda: keys.feature_key(SHA256, "../model"),
        lambda: keys.feature_key(SHA256, ""),
        lambda: keys.frame_key(SHA256, "a/b", 0),
        lambda: keys.artifact_key(JOB, "../results.json"),
        lambda: keys.artifact_key(JOB, "/etc/passwd"),
        lambda: keys.artifact_key(JOB, ""),
        lambda: keys.notes_key(JOB, "a/b"),
    ],
)
def test_what_could_lead_elsewhere_is_refused(make: Callable[[], str]) -> None:
    with pytest.raises(ValueError, match="cannot be part of an object key"):
        make()


@pytest.mark.parametrize("key", [keys.input_key(JOB), keys.upload_key(JOB, "videos", 3)])
def test_the_job_of_an_input_is_known_by_its_key(key: str) -> None:
    assert keys.job_of_input(key) == JOB


@pytest.mark.parametrize(
    "key", [f"input/{JOB}", f"input/{JOB}/other", f"input/{JOB}/videos/1", f"jobs/{JOB}/results.json"]
)
def test_other_keys_are_no_inputs(key: str) -> None:
    assert keys.job_of_input(key) is None
