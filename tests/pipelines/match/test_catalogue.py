"""Lists of products in files and at addresses: what columns mean, and what one broken line costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reelwork.pipelines.match.access import Access, PathRefused
from reelwork.pipelines.match.sources import BrokenEntry, Product, SourceUnusable, list_products, load_source
from reelwork.pipelines.match.sources.lines import LINE_BYTES_MAX
from reelwork.pipelines.match.web import AddressRefused, DownloadRefused
from reelwork.settings import Config
from tests.web_server import WebServer, web_server

HEADING = "id,title,image_link"
A, B = "https://shop.example/a.jpg", "https://shop.example/b.jpg"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as served:
        yield served


def listed(access: Access, location: str) -> tuple[dict[str, list[str]], list[str]]:
    """Locations of pictures by product, and what was told."""
    found = list(list_products([load_source({"source": "catalogue", "location": location})], access))
    products = {one.product_id: [i.location for i in one.images] for one in found if isinstance(one, Product)}
    return products, [str(one) for one in found if isinstance(one, BrokenEntry)]


def of_text(tmp_path: Path, access: Access, text: str | bytes) -> tuple[dict[str, list[str]], list[str]]:
    path = tmp_path / "catalogue"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return listed(access, str(path))


class TestCsv:
    def test_a_line_is_a_product(self, tmp_path: Path, access: Access) -> None:
        assert of_text(tmp_path, access, f"{HEADING}\nmug,A mug,{A}\ncap,A cap,{B}\n") == ({"mug": [A], "cap": [B]}, [])

    # what shops and spreadsheets write
    @pytest.mark.parametrize(
        "text",
        [
            f"\ufeff{HEADING}\r\nmug,A mug,{A}\r\n",
            f"id;title;image_link\nmug;A mug;{A}",
            f"id\ttitle\timage_link\nmug\tA mug\t{A}\n",
            f'"ID","Image Link"\n"mug","{A}"\n',
            f"\n\nSKU,Name,Image URL\n\nmug,A mug,{A}\n\n",
            f"Handle,Title,Image Src\nmug,A mug,{A}\n",
        ],
    )
    def test_columns_go_by_many_names(self, tmp_path: Path, access: Access, text: str) -> None:
        assert of_text(tmp_path, access, text) == ({"mug": [A]}, [])

    def test_lines_with_one_key_are_one_product(self, tmp_path: Path, access: Access) -> None:
        products, told = of_text(tmp_path, access, f"{HEADING}\nmug,A mug,{A}\nmug,,{B}\nmug,,{A}\n")
        assert (products, told) == ({"mug": [A, B]}, [])

    # several links in one field
    @pytest.mark.parametrize("links", [f'"{A},{B}"', f"{A}|{B}", f"{A} {B}", f'"{A}\n{B}"'])
    def test_several_links_in_one_field(self, tmp_path: Path, access: Access, links: str) -> None:
        assert of_text(tmp_path, access, f"{HEADING}\nmug,A mug,{links}\n") == ({"mug": [A, B]}, [])

    def test_a_comma_may_be_part_of_a_link(self, tmp_path: Path, access: Access) -> None:
        link = "https://cdn.example/w_100,h_100/a.jpg"
        assert of_text(tmp_path, access, f'{HEADING}\nmug,A mug,"{link}"\n') == ({"mug": [link]}, [])

    def test_links_may_be_files_beside_the_catalogue(self, tmp_path: Path, access: Access) -> None:
        (tmp_path / "pictures").mkdir()
        (tmp_path / "pictures" / "a.jpg").touch()
        products, _ = of_text(tmp_path, access, f"{HEADING}\nmug,A mug,pictures/a.jpg\n")
        assert products == {"mug": [str(tmp_path / "pictures" / "a.jpg")]}


class TestJsonLines:
    def test_a_line_is_a_product(self, tmp_path: Path, access: Access) -> None:
        records = [
            {"id": 7, "title": "A mug", "images": [A, {"src": B}]},
            {"sku": "cap", "image": A, "additional_image_link": [B]},
        ]
        text = "\n\n".join(map(json.dumps, records))
        assert of_text(tmp_path, access, text) == ({"7": [A, B], "cap": [A, B]}, [])


class TestBrokenLines:
    # (a line among sound ones, what is said of it)
    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("only-one-field", "line 3: the line has 1 fields, and the heading 3"),
            ("a,b,c,d", "line 3: the line has 4 fields, and the heading 3"),
            ('"a"b,c,d', "line 3: this is not CSV"),
            ('x,"never closed,' + A, "line 3: this is not CSV: unexpected end of data"),
            (f",no id,{A}", "line 3: there is no id; name its column one of: id,"),
            ("x,no picture,", "line 3: there is no link to a picture; name its column one of: image_link"),
            ("x,bad link,ftp://host/a.jpg", "line 3: 'ftp://host/a.jpg' is not an address that can be downloaded"),
            ("x,bad link,file:///etc/passwd", "line 3: 'file:///etc/passwd' is not an address"),
            ("x,bad link,../../../../../etc/passwd", "line 3: "),
            ("x,absent,absent.jpg", "does not exist; check the path"),
        ],
    )
    def test_it_is_told_and_the_rest_goes_on(self, tmp_path: Path, access: Access, line: str, told: str) -> None:
        products, said = of_text(tmp_path, access, f"{HEADING}\nmug,A mug,{A}\n{line}\ncap,A cap,{B}\n")
        assert products == {"mug": [A], "cap": [B]}
        assert len(said) == 1
        assert told in said[0]

    def test_text_in_another_encoding_is_told(self, tmp_path: Path, access: Access) -> None:
        text = f"{HEADING}\nmug,A mug,{A}\ntea,Größe,{A}\n".encode("latin-1") + f"cap,Größe,{B}".encode()
        assert of_text(tmp_path, access, text) == (
            {"mug": [A], "cap": [B]},
            ["line 3: the line is not UTF-8 text (byte 7); save the file as UTF-8"],
        )

    def test_a_line_without_end_is_told(self, tmp_path: Path, access: Access) -> None:
        products, told = of_text(tmp_path, access, f"{HEADING}\nx,{'x' * LINE_BYTES_MAX},{A}\ncap,A cap,{B}\n")
        assert (products, told) == ({"cap": [B]}, [f"line 2: the line is longer than {LINE_BYTES_MAX} bytes"])

    # (a line among sound ones, what is said of it)
    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ('{"id": "x", ', "line 2: this is not JSON"),
            ("[1, 2]", "line 2: this is JSON, and not an object"),
            ("null", "line 2: this is JSON, and not an object"),
            ("[" * 100_000, "line 2: this is not JSON"),
            ('{"id": {"a": 1}, "image": "' + A + '"}', "line 2: there is no id"),
            ('{"id": "x", "image": 7}', "line 2: there is no link to a picture"),
            ('{"id": "x", "image": "http://"}', "line 2: 'http://' is not an address"),
        ],
    )
    def test_of_json_too(self, tmp_path: Path, access: Access, line: str, told: str) -> None:
        sound = json.dumps({"id": "mug", "image": A}), json.dumps({"id": "cap", "image": B})
        products, said = of_text(tmp_path, access, f"{sound[0]}\n{line}\n{sound[1]}")
        assert products == {"mug": [A], "cap": [B]}
        assert len(said) == 1
        assert said[0].startswith(told)

    def test_a_product_with_one_broken_link_keeps_the_others(self, tmp_path: Path, access: Access) -> None:
        products, told = of_text(tmp_path, access, f"{HEADING}\nmug,A mug,http://|{A}\n")
        assert products == {"mug": [A]}
        assert len(told) == 1


class TestWholeFile:
    @pytest.mark.parametrize("text", ["", "\n\n", HEADING])
    def test_one_without_products_is_told(self, tmp_path: Path, access: Access, text: str) -> None:
        products, told = of_text(tmp_path, access, text)
        assert products == {}
        assert told == [f"{tmp_path / 'catalogue'}: the catalogue holds no usable product"]

    def test_a_folder_is_none(self, tmp_path: Path, access: Access) -> None:
        with pytest.raises(SourceUnusable, match="is not a file; a folder of pictures is the source 'folder'"):
            listed(access, str(tmp_path))

    def test_one_outside_is_refused(self, access: Access) -> None:
        with pytest.raises(PathRefused, match="REELWORK_SOURCE_FOLDERS"):
            load_source({"source": "catalogue", "location": "/etc/passwd"}).check(access)

    def test_a_saved_web_page_is_none(self, tmp_path: Path, access: Access) -> None:
        with pytest.raises(SourceUnusable, match=r"is a web page \(HTML\), not a catalogue"):
            of_text(tmp_path, access, "<!doctype html><title>Sign in</title>")


class TestRemote:
    def test_links_are_relative_to_its_address(self, server: WebServer, access: Access) -> None:
        server.serve("/feeds/all.csv", f"{HEADING}\nmug,A mug,../a.jpg\ncap,A cap,{B}\n".encode(), "text/csv")
        url = server.redirect("/feed", "/feeds/all.csv")
        assert listed(access, url) == ({"mug": [server.url("/a.jpg")], "cap": [B]}, [])

    def test_its_links_never_mean_files(self, server: WebServer, access: Access, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").touch()
        text = f"{HEADING}\nmug,A mug,{tmp_path / 'a.jpg'}\ncap,A cap,file://{tmp_path / 'a.jpg'}\n"
        products, told = listed(access, server.serve("/all.csv", text.encode(), "text/csv"))
        assert products == {"mug": [server.url(str(tmp_path / "a.jpg"))]}
        assert len(told) == 1

    def test_a_web_page_is_none(self, server: WebServer, access: Access) -> None:
        url = server.serve("/all.csv", b"<html><title>Sign in</title>", "text/html")
        with pytest.raises(DownloadRefused, match=r"web page \(HTML\), not a catalogue in CSV or JSON lines"):
            listed(access, url)

    def test_a_private_address_is_refused(self, server: WebServer) -> None:
        with pytest.raises(AddressRefused):
            listed(Access.of(Config()), server.serve("/all.csv", b"id,image\n", "text/csv"))
