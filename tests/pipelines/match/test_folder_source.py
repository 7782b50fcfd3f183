"""Products of a folder, and of an upload: how files are grouped, what they are called, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelwork.errors import ConfigurationError
from reelwork.pipelines.match.access import Access, PathRefused
from reelwork.pipelines.match.sources import (
    BrokenEntry,
    Product,
    SourceUnusable,
    known_sources,
    list_products,
    load_source,
)
from reelwork.pipelines.match.sources.listing import IMAGES_PER_PRODUCT_MAX
from reelwork.settings import Config


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture")
    return folder


def listed(access: Access, *sources: dict[str, object]) -> tuple[list[Product], list[str]]:
    """The products, and what was told beside them."""
    found = list(list_products([load_source(source) for source in sources], access))
    products = [one for one in found if isinstance(one, Product)]
    return products, [str(one) for one in found if isinstance(one, BrokenEntry)]


def of_folder(access: Access, folder: Path) -> tuple[list[Product], list[str]]:
    return listed(access, {"source": "folder", "path": str(folder)})


def grouped(products: list[Product]) -> dict[str, list[str]]:
    return {product.title: [Path(image.location).name for image in product.images] for product in products}


class TestGrouping:
    def test_a_product_is_a_sub_folder_or_a_prefix(self, tmp_path: Path, access: Access) -> None:
        touch(tmp_path, "mug/front.jpg", "mug/detail/handle.png", "cap.jpg", "cap_2.jpg", "cap_10.png", "notes.txt")
        products, told = of_folder(access, tmp_path)
        assert grouped(products) == {"cap": ["cap.jpg", "cap_2.jpg", "cap_10.png"], "mug": ["front.jpg", "handle.png"]}
        assert told == []

    # (files, the products they are)
    @pytest.mark.parametrize(
        ("names", "titles"),
        [
            (["box.png", "box_in_scene.png"], ["box", "box_in_scene"]),  # only numbers are numbers
            (["route_66.jpg"], ["route_66"]),  # nothing else begins like it
            (["phone-14.jpg", "phone-15.jpg"], ["phone-14", "phone-15"]),  # two models, not two pictures
            (["a_1.jpg", "a_2.jpg", "a_10.jpg"], ["a"]),
            (["a.jpg", "a.png"], ["a"]),
            (["a (1).jpg", "a (2).jpg"], ["a"]),
            (["_1.jpg"], ["_1"]),  # there is nothing before the number
        ],
    )
    def test_file_names(self, tmp_path: Path, access: Access, names: list[str], titles: list[str]) -> None:
        products, _ = of_folder(access, touch(tmp_path, *names))
        assert [product.title for product in products] == titles

    def test_pictures_come_in_the_order_of_their_numbers(self, tmp_path: Path, access: Access) -> None:
        products, _ = of_folder(access, touch(tmp_path, "a_10.jpg", "a_9.jpg", "a.jpg"))
        assert grouped(products) == {"a": ["a.jpg", "a_9.jpg", "a_10.jpg"]}

    def test_hidden_files_and_other_files_are_no_products(self, tmp_path: Path, access: Access) -> None:
        products, _ = of_folder(access, touch(tmp_path, ".cache/a.jpg", "._mug.jpg", "list.csv", "mug.jpg"))
        assert grouped(products) == {"mug": ["mug.jpg"]}

    def test_uploads_are_grouped_by_the_names_that_the_user_gave(self, access: Access) -> None:
        files = {"mug/1.jpg": "input/j/a", "mug/2.jpg": "input/j/b", "cap_1.jpg": "input/j/c", "cap_2.jpg": "input/j/d"}
        products, _ = listed(access, {"source": "upload", "files": files})
        assert {p.title: [i.location for i in p.images] for p in products} == {
            "mug": ["object:input/j/a", "object:input/j/b"],
            "cap": ["object:input/j/c", "object:input/j/d"],
        }


class TestIds:
    def test_plain_names_are_ids_and_others_become_such(self, tmp_path: Path, access: Access) -> None:
        products, _ = of_folder(access, touch(tmp_path, "mug.jpg", "Große Tasse!.jpg", "茶.jpg", "..a..jpg"))
        ids = {product.title: product.product_id for product in products}
        assert ids["mug"] == "mug"
        assert ids["Große Tasse!"].startswith("Groe-Tasse-")
        assert ids["茶"].startswith("product-")
        assert len(set(ids.values())) == len(ids)

    def test_they_are_the_same_on_every_reading(self, tmp_path: Path, access: Access) -> None:
        touch(tmp_path, "a.jpg", "b c.jpg", "d/e.jpg")
        assert of_folder(access, tmp_path) == of_folder(access, tmp_path)

    def test_two_sources_may_name_different_products_alike(self, tmp_path: Path, access: Access) -> None:
        touch(tmp_path, "one/mug.jpg", "two/mug.jpg", "three/mug.jpg")
        sources = [{"source": "folder", "path": str(tmp_path / name)} for name in ("one", "two", "three")]
        products, _ = listed(access, *sources)
        assert len({product.product_id for product in products}) == 3
        assert len({image.image_id for product in products for image in product.images}) == 3


class TestBadInput:
    def test_an_empty_folder_is_told(self, tmp_path: Path, access: Access) -> None:
        products, told = of_folder(access, tmp_path)
        assert products == []
        assert told == [f"{tmp_path}: the folder holds no pictures; put one sub-folder for each product into it"]

    def test_an_empty_sub_folder_is_told_and_the_rest_goes_on(self, tmp_path: Path, access: Access) -> None:
        (tmp_path / "empty").mkdir()
        products, told = of_folder(access, touch(tmp_path, "mug.jpg"))
        assert grouped(products) == {"mug": ["mug.jpg"]}
        assert told == [f"{tmp_path / 'empty'}: the folder holds no pictures"]

    def test_too_many_pictures_and_products_are_told(self, tmp_path: Path, access: Access) -> None:
        touch(tmp_path, *(f"mug/{number}.jpg" for number in range(IMAGES_PER_PRODUCT_MAX + 2)), "a.jpg", "b.jpg")
        source = load_source({"source": "folder", "path": str(tmp_path)})
        found = list(list_products([source], access, products_max=2))
        assert [one.product_id for one in found if isinstance(one, Product)] == ["a", "b"]
        assert str(found[-1]) == "folder: there are more than 2 products; the rest is left out"
        (products, told) = of_folder(access, tmp_path)
        assert len(products[-1].images) == IMAGES_PER_PRODUCT_MAX
        assert told == [f"mug: 2 pictures beyond the first {IMAGES_PER_PRODUCT_MAX} are left out"]

    def test_names_that_are_no_text_cost_themselves(self, tmp_path: Path, access: Access) -> None:
        touch(tmp_path, "mug/1.jpg", "mug/2\udcff.jpg", "tin\udcff/1.jpg", "box\udcff.jpg")
        products, told = of_folder(access, tmp_path)
        assert grouped(products) == {"mug": ["1.jpg"]}
        assert len(told) == 3
        assert all("is no text (UTF-8)" in line and line.isascii() for line in told)

    def test_a_file_is_no_folder(self, tmp_path: Path, access: Access) -> None:
        touch(tmp_path, "list.csv")
        with pytest.raises(SourceUnusable, match=r"is not a folder; a file with a list of products is a catalogue"):
            of_folder(access, tmp_path / "list.csv")

    def test_an_absent_folder_is_told(self, tmp_path: Path, access: Access) -> None:
        with pytest.raises(PathRefused, match="does not exist; check the path"):
            of_folder(access, tmp_path / "absent")


class TestForbiddenPaths:
    # what lies outside, and what may not even exist, are answered alike
    @pytest.mark.parametrize("path", ["/etc", "/absent", "", "..", "relative", "a\0b", "~", "x" * 5000])
    def test_only_named_folders_may_be_read(self, access: Access, path: str) -> None:
        source = load_source({"source": "folder", "path": path})
        with pytest.raises(PathRefused, match=r"outside the folders that jobs may read; .*REELWORK_SOURCE_FOLDERS"):
            source.check(access)

    def test_by_default_there_are_none(self, tmp_path: Path) -> None:
        with pytest.raises(PathRefused, match="REELWORK_SOURCE_FOLDERS"):
            of_folder(Access.of(Config()), tmp_path)

    def test_a_link_does_not_lead_out(self, tmp_path: Path) -> None:
        touch(tmp_path, "secret/a.jpg")
        (tmp_path / "open").mkdir()
        (tmp_path / "open" / "link").symlink_to(tmp_path / "secret")
        access = Access.of(Config(REELWORK_SOURCE_FOLDERS=str(tmp_path / "open")))
        with pytest.raises(PathRefused, match="outside"):
            of_folder(access, tmp_path / "open" / "link")
        with pytest.raises(PathRefused, match="outside"):
            of_folder(access, tmp_path / "open" / ".." / "secret")
        products, told = of_folder(access, touch(tmp_path / "open", "mug.jpg"))
        assert grouped(products) == {"mug": ["mug.jpg"]}
        assert len(told) == 1
        assert "outside" in told[0]


class TestRegistry:
    def test_the_sources_are_known_by_name(self) -> None:
        assert {"catalogue", "ebay", "folder", "shopify", "upload"} <= set(known_sources())

    # (what a job says, what it is told)
    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ({"source": "amazon"}, r"there is no source of products called 'amazon'; known: .*folder"),
            ({}, r"called None; known: "),
            ({"source": "folder"}, r"source 'folder': path: Field required"),
            ({"source": "folder", "path": "/a", "paths": 1}, r"source 'folder': paths: Extra inputs"),
        ],
    )
    def test_what_cannot_be_a_source_is_refused(self, given: dict[str, object], told: str) -> None:
        with pytest.raises(SourceUnusable, match=told):
            load_source(given)

    def test_networks_that_are_none_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"REELWORK_ALLOWED_NETWORKS must be networks"):
            Access.of(Config(REELWORK_ALLOWED_NETWORKS="10.0.0.0/8,home"))
