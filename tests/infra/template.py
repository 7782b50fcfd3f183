"""The CloudFormation template as data: `!Ref X` is {"Ref": "X"}, as in JSON."""

from __future__ import annotations

from typing import Any, Final

import yaml

from tests.infra.locked import ROOT

TEMPLATE: Final = ROOT / "infra" / "aws" / "template.yaml"


class _Loader(yaml.SafeLoader):
    """Knows the short forms of CloudFormation's functions."""


def _function(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        given: Any = loader.construct_scalar(node)
        given = given.split(".", 1) if name == "GetAtt" else given
    elif isinstance(node, yaml.SequenceNode):
        given = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        given = loader.construct_mapping(node, deep=True)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": given}


_Loader.add_multi_constructor("!", _function)


def template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(), _Loader)
    return found


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Properties of the resources of a type, by their names in the template."""
    return {name: r["Properties"] for name, r in template()["Resources"].items() if r["Type"] == kind}
