"""The shop of one's own on the page about sources is true: taken from the page, installed and run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from reelwork.errors import ConfigurationError
from reelwork.pipelines.match.access import Access
from reelwork.pipelines.match.sources import BrokenEntry, ImageRef, Product, list_products, load_source
from tests.web_server import web_server

PAGE = (Path(__file__).parents[3] / "docs" / "sources.md").read_text()
(MODULE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(DECLARATION,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which an installed package names its sources."""
    (tmp_path / "my_package.py").write_text(MODULE)
    declared = tomllib.loads(DECLARATION)["project"]["entry-points"]["reelwork.product_sources"]
    metadata = tmp_path / "my_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    lines = [f"{name} = {target}" for name, target in declared.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[reelwork.product_sources]", *lines, ""]))
    monkeypatch.syspath_prepend(tmp_path)
    return metadata / "entry_points.txt"


@pytest.mark.usefixtures("installed")
def test_the_example_lists_its_products(access: Access) -> None:
    with web_server() as server:
        url = server.serve("/prices", b"mug https://shop.example/mug.jpg\ncap\n", "text/plain")
        found = list(list_products([load_source({"source": "price-list", "url": url})], access))
    assert found == [
        Product("mug", "mug", (ImageRef("mug.00", "https://shop.example/mug.jpg"),)),
        BrokenEntry("line 2", "there is no picture"),
    ]


# (what the entry point says, what the user is told)
@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("cheap-list = my_package:PriceListSource", "'cheap-list' must name a ProductSource class of that name"),
        ("cheap-list = my_package:Limits", "'cheap-list' must name a ProductSource class of that name"),
        ("cheap-list = a_module_that_is_not_here:Source", "'cheap-list' cannot be loaded: .*a_module_that_is_not_here"),
    ],
)
def test_a_broken_package_is_named(installed: Path, declared: str, told: str) -> None:
    installed.write_text(f"[reelwork.product_sources]\n{declared}\n")
    with pytest.raises(ConfigurationError, match=told):
        load_source({"source": "cheap-list", "url": "http://shop.example/"})
