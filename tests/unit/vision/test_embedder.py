"""The built-in encoder knows what it sees; any other ONNX encoder gets its pictures exactly as it wants them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

from reelwork.errors import ConfigurationError, ModelMissing, UnusableModel
from reelwork.vision import pull_model, pull_sample
from reelwork.vision.efficientnet_lite import efficientnet_lite0
from reelwork.vision.embedder import Embedder, load_embedder
from reelwork.vision.onnx_session import open_session
from reelwork.vision.opencv import cv2
from reelwork.vision.safe_image import decode_image
from tests.weights import TEST_MODELS_DIR

Picture = npt.NDArray[np.uint8]

CATS, ESPRESSO = {281, 282, 285}, {967}  # classes of ImageNet
SIDE = 4


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    pull_model("efficientnet-lite0", models_dir=TEST_MODELS_DIR)
    return load_embedder(models_dir=TEST_MODELS_DIR)


def sample(name: str) -> Picture:
    return decode_image(pull_sample(name, models_dir=TEST_MODELS_DIR).read_bytes())


class TestEfficientNetLite0:
    @pytest.mark.parametrize(("name", "classes"), [("cat", CATS), ("coffee", ESPRESSO)])
    def test_the_rebuilt_network_names_what_it_sees(self, name: str, classes: set[int]) -> None:
        session = open_session(efficientnet_lite0(pull_model("efficientnet-lite0", models_dir=TEST_MODELS_DIR)), "net")
        rgb = cv2.resize(sample(name), (224, 224), interpolation=cv2.INTER_AREA)[:, :, ::-1].astype(np.float32)
        images = ((rgb - 127) / 128).transpose(2, 0, 1)[None]
        (logits,) = session.run(["logits"], {"images": images})
        assert int(logits[0].argmax()) in classes
        shares = np.exp(logits[0] - logits[0].max())
        assert shares[sorted(classes)].sum() / shares.sum() > 0.9

    def test_vectors_have_length_one(self, embedder: Embedder) -> None:
        vectors = embedder.embed([sample("cat"), sample("coffee")])
        assert vectors.shape == (2, embedder.dimensions) == (2, 1280)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_a_changed_picture_is_nearer_than_another_one(self, embedder: Embedder) -> None:
        cat, coffee = sample("cat"), sample("coffee")
        smaller = cv2.resize(cat[20:, 30:], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        darker = cv2.convertScaleAbs(cat, alpha=0.6, beta=10)
        same, small, dark, other = embedder.embed([cat, smaller, darker, coffee])
        assert min(same @ small, same @ dark) > 0.7
        assert same @ other < 0.4

    def test_a_vector_does_not_depend_on_its_neighbours(self, embedder: Embedder) -> None:
        cat, coffee = sample("cat"), sample("coffee")
        assert np.array_equal(embedder.embed([cat, coffee])[1], embedder.embed([coffee])[0])

    @pytest.mark.parametrize("shape", [(1, 1, 3), (2, 900, 3), (900, 2, 3)])
    def test_pictures_of_any_shape(self, embedder: Embedder, shape: tuple[int, ...]) -> None:
        assert np.isfinite(embedder.embed([np.full(shape, 9, np.uint8)])).all()

    def test_no_pictures_are_no_vectors(self, embedder: Embedder) -> None:
        assert embedder.embed([]).shape == (0, 1280)

    @pytest.mark.parametrize(
        "picture", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)]
    )
    def test_what_is_no_picture_is_refused(self, embedder: Embedder, picture: Any) -> None:
        with pytest.raises(ValueError, match="a picture is uint8"):
            embedder.embed([picture])

    def test_without_its_weights_it_says_how_to_get_them(self, tmp_path: Path) -> None:
        with pytest.raises(ModelMissing, match="reelwork models pull efficientnet-lite0"):
            load_embedder(models_dir=tmp_path)

    def test_other_weights_are_refused(self) -> None:
        other = pull_model("u2netp", models_dir=TEST_MODELS_DIR)
        with pytest.raises(UnusableModel):
            efficientnet_lite0(other)


def write_encoder(folder: Path, output_shape: list[int], *, layout: str = "nchw", **configuration: Any) -> Path:
    """An encoder whose output is its input in another shape, so that a vector shows what the network was given."""
    picture = [1, 3, SIDE, SIDE] if layout == "nchw" else [1, SIDE, SIDE, 3]
    shape = helper.make_tensor("shape", TensorProto.INT64, [len(output_shape)], output_shape)
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["tokens"]), helper.make_node("Neg", ["tokens"], ["negative"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, picture)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, output_shape) for name in ("tokens", "negative")],
        [shape],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "tiny.onnx")
    path = folder / "tiny.json"
    defaults = {"name": "tiny", "file": "tiny.onnx", "input_size": SIDE, "mean": [0, 0, 0], "std": [1, 1, 1]}
    path.write_text(json.dumps(defaults | {"layout": layout} | configuration))
    return path


FLAT = [1, 3 * SIDE * SIDE]


class TestOtherEncoders:
    def test_colours_are_turned_and_normalised(self, tmp_path: Path) -> None:
        mean, std = [0.1, 0.2, 0.3], [0.5, 0.25, 1.0]
        embedder = load_embedder(write_encoder(tmp_path, FLAT, mean=mean, std=std))
        blue_green_red = np.full((SIDE, SIDE, 3), (51, 102, 255), np.uint8)  # 0.2, 0.4, 1.0
        wanted = np.repeat([(1.0 - 0.1) / 0.5, (0.4 - 0.2) / 0.25, (0.2 - 0.3) / 1.0], SIDE * SIDE)
        assert np.allclose(embedder.embed([blue_green_red])[0], wanted / np.linalg.norm(wanted), atol=1e-5)

    def test_blue_first_and_channels_last_where_wanted(self, tmp_path: Path) -> None:
        embedder = load_embedder(
            write_encoder(tmp_path, FLAT, layout="nhwc", channels="bgr", mean=[0, 0, 0.2], std=[1, 1, 2])
        )
        picture = np.full((SIDE, SIDE, 3), (51, 102, 255), np.uint8)
        wanted = np.tile([0.2, 0.4, (1.0 - 0.2) / 2], SIDE * SIDE)
        assert np.allclose(embedder.embed([picture])[0], wanted / np.linalg.norm(wanted), atol=1e-5)

    @pytest.mark.parametrize(
        ("pooling", "output_shape", "take"),
        [
            ("first", [1, 3, SIDE * SIDE], lambda x: x.reshape(3, -1)[0]),
            ("mean", [1, 3, SIDE * SIDE], lambda x: x.reshape(3, -1).mean(axis=0)),
            ("mean", [1, 3, SIDE, SIDE], lambda x: x.reshape(3, -1).mean(axis=1)),
        ],
    )
    def test_tokens_and_places_are_pooled(
        self, tmp_path: Path, pooling: str, output_shape: list[int], take: Any
    ) -> None:
        picture = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
        embedder = load_embedder(write_encoder(tmp_path, output_shape, pooling=pooling))
        wanted = take(picture[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / 255)
        assert np.allclose(embedder.embed([picture])[0], wanted / np.linalg.norm(wanted), atol=1e-5)

    @pytest.mark.parametrize(
        ("fit", "left", "top"),
        [
            ("stretch", 255, 255),  # the white left half is the left half
            ("crop", 255, 255),  # the middle square begins inside the white half
            ("pad", 255, 51),  # bands of the mean above and below
        ],
    )
    def test_a_wide_picture_becomes_a_square(self, tmp_path: Path, fit: str, left: int, top: int) -> None:
        wide = np.zeros((SIDE, 2 * SIDE, 3), np.uint8)
        wide[:, :SIDE] = 255
        embedder = load_embedder(write_encoder(tmp_path, FLAT, fit=fit, mean=[0.2, 0.2, 0.2]))
        given = embedder.embed([wide])[0].reshape(3, SIDE, SIDE)[0]
        scale = given[SIDE // 2, 0] / (left / 255 - 0.2)
        assert given[SIDE // 2, -1] == pytest.approx(-0.2 * scale, abs=1e-5)
        assert given[0, 0] == pytest.approx((top / 255 - 0.2) * scale, abs=1e-5)

    def test_the_named_output_is_used(self, tmp_path: Path) -> None:
        picture = np.full((SIDE, SIDE, 3), 80, np.uint8)
        first = load_embedder(write_encoder(tmp_path, FLAT)).embed([picture])
        assert np.array_equal(load_embedder(write_encoder(tmp_path, FLAT, output="negative")).embed([picture]), -first)

    def test_a_black_picture_is_near_to_nothing_but_not_an_error(self, tmp_path: Path) -> None:
        embedder = load_embedder(write_encoder(tmp_path, FLAT))
        assert not embedder.embed([np.zeros((SIDE, SIDE, 3), np.uint8)]).any()

    def test_its_version_tells_file_and_configuration_apart(self, tmp_path: Path) -> None:
        versions = {
            load_embedder(write_encoder(tmp_path, FLAT)).model,
            load_embedder(write_encoder(tmp_path, FLAT, fit="pad")).model,
            load_embedder(write_encoder(tmp_path, [1, 3, SIDE * SIDE], pooling="first")).model,
        }
        assert len(versions) == 3
        assert all(version.startswith("tiny@") for version in versions)
        assert load_embedder(write_encoder(tmp_path, FLAT)).model in versions

    @pytest.mark.parametrize(
        ("output_shape", "configuration", "named"),
        [
            ([1, 3, SIDE * SIDE], {}, "pooling 'none'"),
            (FLAT, {"pooling": "first"}, "pooling 'first'"),
            (FLAT, {"output": "gone"}, "no output 'gone'; it has tokens, negative"),
            (FLAT, {"input_size": SIDE + 1}, "as configured"),
        ],
    )
    def test_a_configuration_that_does_not_fit_is_found_at_once(
        self, tmp_path: Path, output_shape: list[int], configuration: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(UnusableModel, match=named):
            load_embedder(write_encoder(tmp_path, output_shape, **configuration))

    @pytest.mark.parametrize(
        ("configuration", "named"),
        [
            ({"std": [1, 0, 1]}, r"std\.1"),
            ({"mean": [1]}, "mean"),
            ({"fit": "squeeze"}, "fit"),
            ({"colour": "rgb"}, "colour"),
            ({"name": "../x"}, "name"),
            ({"file": "gone.onnx"}, "gone.onnx"),
        ],
    )
    def test_a_wrong_field_is_named(self, tmp_path: Path, configuration: dict[str, Any], named: str) -> None:
        with pytest.raises(ConfigurationError, match=named):
            load_embedder(write_encoder(tmp_path, FLAT, **configuration))

    def test_a_file_that_is_no_network_is_refused(self, tmp_path: Path) -> None:
        path = write_encoder(tmp_path, FLAT)
        (tmp_path / "tiny.onnx").write_bytes(b"not a network")
        with pytest.raises(UnusableModel, match="cannot be loaded"):
            load_embedder(path)

    def test_an_unknown_name_lists_what_can_be_given(self) -> None:
        with pytest.raises(ConfigurationError, match=r"efficientnet-lite0, or a \.json"):
            load_embedder("dinov2")
