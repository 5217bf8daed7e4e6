"""The classes of `messages` for ids of another kind, or other platforms.

A decoder is made for types, so each kind of ids has classes of its own: subclasses, whose fields that hold an id (or a
platform) have another type. Whoever asks `isinstance`, or matches, need not know. They are made once for each kind and
list of platforms, and never for a server whose settings are the usual ones: that one decodes as if there were none.
"""

from __future__ import annotations

from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from presence_protocol import messages
from presence_protocol.user_ids import IdKind, UserId

S = TypeVar("S", bound=Struct)


class Variants:
    """Makes them: of ids of `kind`, and of `platforms`, where a client names one."""

    def __init__(self, kind: IdKind, platforms: tuple[str, ...]) -> None:
        self._kind = kind
        self._replaced: list[tuple[Any, Any]] = [(messages.PlatformName, Literal[platforms])]
        if kind.name != "number":
            self._replaced += [(messages.UserId, kind.wire), (messages.ToldUserId, _TOLD[kind.name])]
        self._made: dict[type[Struct], type[Struct]] = {}

    def of(self, one: type[S]) -> type[S]:
        """The variant of a class; the class itself if nothing in it differs."""
        made = self._made.get(one)
        if made is None:
            made = self._made[one] = self._make(one)
        return cast("type[S]", made)

    def of_hint(self, hint: Any) -> Any:
        """The same of a class, or of a list or union of classes."""
        return self._type(hint)

    def of_union(self, union: Any) -> Any:
        return Union[tuple(self.of(one) for one in get_args(union))]  # noqa: UP007

    def _make(self, one: type[Struct]) -> type[Struct]:
        hints = get_type_hints(one, include_extras=True)
        changed: list[Any] = []
        ids: list[str] = []
        for field in msgspec.structs.fields(one):
            before = hints[field.name]
            after = self._type(before)
            if after != before:
                changed.append((field.name, after, msgspec.field(default=field.default, name=field.encode_name)))
                if self._kind.is_parsed and (_holds(before, messages.UserId) or _holds(before, messages.ToldUserId)):
                    ids.append(field.name)
        if not changed:
            return one
        namespace: dict[str, Any] = {"__eq__": _equals(one), "__hash__": one.__hash__}
        if ids:
            namespace["__post_init__"] = _parses(one, ids, self._kind)
        tag = one.__struct_config__.tag
        return msgspec.defstruct(
            one.__name__, changed, bases=(one,), namespace=namespace, module=one.__module__, kw_only=True, tag=tag
        )

    def _type(self, before: Any) -> Any:
        for old, new in self._replaced:
            if before == old:
                return new
        if isinstance(before, type) and issubclass(before, Struct):
            return self.of(before)
        origin, arguments = get_origin(before), get_args(before)
        if origin is list:
            (item,) = arguments
            return before if (changed := self._type(item)) is item else list[changed]  # type: ignore[valid-type]
        if origin in (Union, UnionType):
            items = [self._type(item) for item in arguments]
            same = all(one is other for one, other in zip(items, arguments, strict=True))
            return before if same else Union[tuple(items)]  # noqa: UP007
        return before


_TOLD: Final = {"int64": int | str, "string": Annotated[str, msgspec.Meta(title="userId")]}


def _holds(hint: Any, sought: Any) -> bool:
    return bool(hint == sought) or any(_holds(one, sought) for one in get_args(hint) if one is not None)


def _equals(one: type[Struct]) -> Callable[[Any, object], bool]:
    """A variant equals what says the same, of its own class or of the one that it is a variant of."""
    names = one.__struct_fields__

    def equals(self: Any, other: object) -> bool:
        return isinstance(other, one) and all(getattr(self, name) == getattr(other, name) for name in names)

    return equals


def _parses(one: type[Struct], names: list[str], kind: IdKind) -> Callable[[Any], None]:
    """What makes ids of what was decoded: it raises ValueError, which the decoder turns into its own error."""
    set_field = msgspec.structs.force_setattr  # some are frozen
    before: Callable[[Any], None] | None = getattr(one, "__post_init__", None)

    def post_init(self: Any) -> None:
        for name in names:
            value: UserId | list[UserId] | None = getattr(self, name)
            if type(value) is list:
                set_field(self, name, list(map(kind.parse, value)))
            elif value is not None:
                set_field(self, name, kind.parse(value))
        if before is not None:
            before(self)

    return post_init
