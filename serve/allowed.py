"""What a setting takes, in words: the same in the table of settings and where a value is refused."""

from __future__ import annotations

from pathlib import Path
from types import NoneType
from typing import Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

KINDS = {bool: "`true` or `false`", int: "whole number", float: "number", Path: "path", str: "text"}


def allowed(field: FieldInfo) -> str:
    """Return what a setting takes: ``whole number from 0 to 65535``, say."""
    kind = next((one for one in get_args(field.annotation) if one is not NoneType), None) if _is_optional(field) else field.annotation
    if get_origin(kind) is Literal:
        return f"one of {', '.join(f'`{one}`' for one in get_args(kind))}"
    if get_origin(kind) is tuple:
        return "list"
    return f"{KINDS[kind]}{_bounds(field)}"  # type: ignore[index]  # a setting of another kind needs its words first


def default_of(field: FieldInfo) -> str:
    """Return a setting's default as one would write it, empty where it has none."""
    if field.default is None or field.default == ():
        return ""
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def _is_optional(field: FieldInfo) -> bool:
    return NoneType in get_args(field.annotation)


def _bounds(field: FieldInfo) -> str:
    from_ = upto = ""
    for one in field.metadata:
        match one:
            case Ge():
                from_ = f"from {one.ge}" if any(isinstance(other, Le | Lt) for other in field.metadata) else f"at least {one.ge}"
            case Gt():
                from_ = f"above {one.gt}"
            case Le():
                upto = f"to {one.le}" if any(isinstance(other, Ge) for other in field.metadata) else f"at most {one.le}"
            case Lt():
                upto = f"to below {one.lt}"
    return "".join([f" {from_}" if from_ else "", f"{',' if upto.startswith('at') else ''} {upto}" if upto else ""])
