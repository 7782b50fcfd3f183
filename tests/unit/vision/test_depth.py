"""Any depth network gives disparities in one range: the near before the screen, the far behind it, in any units."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from reelwork.errors import ConfigurationError, ModelMissing, UnusableModel
from reelwork.vision import pull_model, pull_sample
from reelwork.vision.depth import DepthConfiguration, DepthEstimator, Meaning, load_depth_estimator
from reelwork.vision.opencv import Picture
from reelwork.vision.safe_image import decode_image
from tests.weights import TEST_MODELS_DIR

SIDE = 8


def network(axes: Sequence[int] = (1,)) -> bytes:
    """Says of each place how bright it is, as (1, SIDE, SIDE)."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["image"], ["depth"], axes=list(axes), keepdims=0)],
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("depth", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    data: bytes = model.SerializeToString()
    return data


def configuration(**settings: Any) -> DepthConfiguration:
    known = {"name": "brightness", "file": "brightness.onnx", "input_size": SIDE, "mean": (0, 0, 0), "std": (1, 1, 1)}
    return DepthConfiguration(**{**known, **settings})


def brighter_to_the_right(width: int = 160, height: int = 40) -> Picture:
    columns = np.linspace(20, 250, width).astype(np.uint8)
    return np.broadcast_to(columns[None, :, None], (height, width, 3)).copy()


class TestDisparity:
    def test_the_near_stands_before_the_screen(self) -> None:
        estimator = DepthEstimator(network(), configuration(disparity=0.05, screen=0.5))
        picture = brighter_to_the_right()
        within = estimator.depth_range([picture])
        assert within is not None
        disparity = estimator.disparity(picture, within)
        assert disparity.shape == picture.shape[:2]
        assert disparity[:, 0] == pytest.approx(-0.025 * 160, abs=0.3)
        assert disparity[:, -1] == pytest.approx(0.025 * 160, abs=0.3)

    def test_of_a_network_of_distances_the_bright_is_far(self) -> None:
        estimator = DepthEstimator(network(), configuration(meaning=Meaning.DEPTH))
        picture = brighter_to_the_right()
        within = estimator.depth_range([picture])
        assert within is not None
        disparity = estimator.disparity(picture, within)
        assert disparity[20, 0] > 0 > disparity[20, -1]

    def test_a_range_of_the_whole_video_keeps_a_place_where_it_is(self) -> None:
        estimator = DepthEstimator(network(), configuration())
        dark, bright = brighter_to_the_right() // 2, brighter_to_the_right()
        within = estimator.depth_range([dark, bright])
        assert within is not None
        near, far = estimator.disparity(bright, within)[20, -1], estimator.disparity(dark, within)[20, -1]
        assert near > far, "what is nearer in the video comes nearer"

    def test_a_flat_picture_and_no_picture(self) -> None:
        estimator = DepthEstimator(network(), configuration())
        flat = np.full((40, 160, 3), 99, np.uint8)
        within = estimator.depth_range([flat])
        assert within is not None
        assert np.isfinite(estimator.disparity(flat, within)).all()
        assert estimator.depth_range([]) is None


class TestFastDepth:
    def test_what_lies_far_in_the_picture_goes_behind_what_is_near(self) -> None:
        """The table in front of a coffee cup is nearer than what is behind the cup."""
        pull_model("fastdepth", models_dir=TEST_MODELS_DIR)
        estimator = load_depth_estimator(models_dir=TEST_MODELS_DIR)
        picture = decode_image(pull_sample("coffee", models_dir=TEST_MODELS_DIR).read_bytes())
        within = estimator.depth_range([picture])
        assert within is not None
        disparity = estimator.disparity(picture, within)
        height = len(disparity)
        assert disparity[-height // 6 :].mean() > disparity[: height // 6].mean()

    def test_its_absence_names_the_command(self, tmp_path: Path) -> None:
        with pytest.raises(ModelMissing, match="reelwork models pull fastdepth"):
            load_depth_estimator(models_dir=tmp_path)


class TestConfiguration:
    def test_any_network_by_its_file(self, tmp_path: Path) -> None:
        (tmp_path / "brightness.onnx").write_bytes(network())
        path = tmp_path / "brightness.json"
        path.write_text(configuration().model_dump_json())
        assert load_depth_estimator(str(path)).nearness(brighter_to_the_right()).shape == (SIDE, SIDE)

    @pytest.mark.parametrize(
        ("change", "told"),
        [({"input_size": 0}, "input_size"), ({"disparity": 1}, "disparity"), ({"colour": 1}, "colour")],
    )
    def test_a_wrong_field_is_named(self, tmp_path: Path, change: dict[str, Any], told: str) -> None:
        path = tmp_path / "net.json"
        path.write_text(json.dumps({**json.loads(configuration().model_dump_json()), **change}))
        with pytest.raises(ConfigurationError, match=told):
            load_depth_estimator(str(path))

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        path = tmp_path / "net.json"
        path.write_text(configuration().model_dump_json())
        with pytest.raises(ConfigurationError, match=r"brightness\.onnx cannot be read"):
            load_depth_estimator(str(path))

    def test_an_unknown_name(self) -> None:
        with pytest.raises(ConfigurationError, match="fastdepth"):
            load_depth_estimator("magic")

    def test_a_network_of_something_else(self) -> None:
        with pytest.raises(UnusableModel, match="one finite number for each place"):
            DepthEstimator(network(axes=(1, 2, 3)), configuration())
