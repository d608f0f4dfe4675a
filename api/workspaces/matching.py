"""Names of workspaces as they are shown, and how lists look for them."""

from typing import Any

from sqlalchemy import ColumnElement, Integer, func, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from api.workspaces.rows import Workspace


class position_in(FunctionElement[int]):  # noqa: N801 - named as a SQL function
    """Where a text holds another, counted from 1; 0 when it doesn't. Upper and lower case differ, unlike LIKE."""

    type = Integer()
    inherit_cache = True
    name = "position_in"


@compiles(position_in)
def _instr(element: position_in, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(position_in, "postgresql")
def _strpos(element: position_in, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


SHOWN: ColumnElement[str] = func.coalesce(Workspace.icon + " ", "") + Workspace.name


def shown_name(workspace: Workspace) -> str:
    """The name with the icon before it. Source: controlplane contract 0.6, trap 20."""
    return f"{workspace.icon} {workspace.name}" if workspace.icon else workspace.name


def clean_name(name: str, *icons: str | None) -> str:
    """The name without an icon before it: clients send back what they read."""
    for icon in icons:
        if icon and name.startswith(f"{icon} ") and name != f"{icon} ":
            return name[len(icon) + 1 :].strip() or name
    return name


def name_holds(text: str) -> ColumnElement[bool]:
    """Whether the shown name holds the text."""
    return position_in(SHOWN, text) > 0


def name_is(text: str) -> ColumnElement[bool]:
    """Whether the text is the name, with or without the icon."""
    return or_(Workspace.name == text, SHOWN.in_([text]))
