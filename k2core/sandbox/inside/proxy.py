"""Objects of the solution as a test sees them: questions to the solver, answered in plain data.

An object has a say among its like (`f(1) + f(2) == f(3)`), and none where it meets plain data:
`==` with a plain value is False, arithmetic and order with one are refused. Its length and items
are one answer and have to agree. An instance of an entry point whose name begins with a capital,
a class that the problem asked for, may also meet plain data in operators and `in`.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar, cast

from k2core.sandbox.inside.codec import Json, decode, encode
from k2core.sandbox.inside.link import Link, SolutionError

_MAX_ITEMS = 100_000
_MAX_CHUNK = 4096
_T = TypeVar("_T")


class Questions:
    """What can be asked about the solver's objects, and what calls did to a test's arguments."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._pending: list[tuple[object, object]] = []

    def ask(self, what: str, made: bool, /, *args: object, **kwargs: object) -> object:
        """The answer as a value; a reference becomes a proxy."""
        crossed: list[Json] = [encode(a, _refer) for a in args]
        named: dict[str, Json] = {name: encode(a, _refer) for name, a in kwargs.items()}
        reply = self.link.ask({"do": what, "args": crossed, "kwargs": named})
        changed = reply.get("args")
        if isinstance(changed, list):
            for mine, theirs in zip([*args, *kwargs.values()], changed, strict=False):
                if theirs is not None:
                    self._pending.append((mine, decode(theirs, self.resolver(made=False))))
        value = decode(reply["value"], self.resolver(made))
        if value is None:
            self.settle()
        return value

    def settle(self) -> None:
        """Show in the test's arguments what calls did to the solver's copies.

        That is seen from the next statement on, or at once if the call returned None, as functions
        that work in place do: nobody else's arguments change under an expression.
        """
        pending, self._pending = self._pending, []
        for mine, theirs in pending:
            _reflect(mine, theirs)

    def resolver(self, made: bool) -> Callable[[str, Json], object]:
        """Makes proxies of references."""

        def resolve(tag: str, body: Json) -> object:
            if not isinstance(body, list) or type(body[0]) is not int:
                raise TypeError("a reference is a number")
            return (Iterating if tag == "iter" else Proxy)(self, body[0], made)

        return resolve


class Proxy:
    """An object that lives in the solver."""

    __slots__ = ("_asked", "_made", "_ref")
    _asked: Questions
    _ref: int
    _made: bool

    def __init__(self, asked: Questions, ref: int, made: bool) -> None:
        object.__setattr__(self, "_asked", asked)
        object.__setattr__(self, "_ref", ref)
        object.__setattr__(self, "_made", made)

    def _ask(self, what: str, /, *args: object, **kwargs: object) -> object:
        return self._asked.ask(what, self._made, *args, **kwargs)

    def _of(self, kind: type[_T], what: str, *args: object) -> _T:
        value = self._ask(what, self, *args)
        if type(value) is not kind:
            raise TypeError(f"{what}() gave no {kind.__name__}")
        return value

    def __call__(self, /, *args: object, **kwargs: object) -> object:
        """Call the object in the solver."""
        return self._ask("call", self, *args, **kwargs)

    def __getattr__(self, name: str) -> object:
        return self._ask("getattr", self, name)

    def __setattr__(self, name: str, value: object) -> None:
        self._ask("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._ask("delattr", self, name)

    def __getitem__(self, key: object) -> object:
        return self._ask("getitem", self, key)

    def __setitem__(self, key: object, value: object) -> None:
        self._ask("setitem", self, key, value)

    def __delitem__(self, key: object) -> None:
        self._ask("delitem", self, key)

    def _view(self) -> tuple[int | None, list[object] | None]:
        size, items = cast(tuple[int | None, list[object] | None], self._ask("view", self))
        if items is not None and len(items) > _MAX_ITEMS:
            raise SolutionError("an object with endless items")
        if items is not None and size is not None and len(items) != size:
            raise SolutionError(f"an object says {size} items and has {len(items)}")
        return size, items

    def _items(self) -> list[object]:
        items = self._view()[1]
        if items is None:
            raise TypeError("the object is not iterable")
        return items

    def __len__(self) -> int:
        size = self._view()[0]
        if type(size) is not int:
            raise TypeError("the object has no length")
        return size

    def __iter__(self) -> Iterator[object]:
        return iter(self._items())

    def __reversed__(self) -> Iterator[object]:
        return reversed(self._items())

    def __contains__(self, item: object) -> bool:
        items = self._view()[1]
        if items is None and self._made:
            return self._of(bool, "contains", item)
        return item in self._items()

    def __bool__(self) -> bool:
        return self._of(bool, "bool")

    def __str__(self) -> str:
        return self._of(str, "str")

    def __repr__(self) -> str:
        return self._of(str, "repr")

    def __format__(self, form: str) -> str:
        return self._of(str, "format", form)

    def __int__(self) -> int:
        return self._of(int, "int")

    def __float__(self) -> float:
        return self._of(float, "float")

    def __complex__(self) -> complex:
        return self._of(complex, "complex")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Proxy):
            return False
        return self._ref == other._ref or self._ask("eq", self, other) is True

    def __hash__(self) -> int:
        return self._of(int, "hash")

    def __enter__(self) -> object:
        return self._ask("enter", self)

    def __exit__(self, *_: object) -> None:
        self._ask("leave", self)  # a failed assertion is never the solution's to forgive

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, Proxy) and self._ask("isinstance", value, self) is True


class Iterating(Proxy):
    """An iterator of the solution, of finitely many values or read with `next`.

    One that was read to its end is iterated again as the list of its values: what a test looks at
    twice is not empty the second time.
    """

    __slots__ = ("_chunk", "_ended", "_got", "_seen")
    _chunk: int
    _ended: bool
    _got: Iterator[object]
    _seen: list[object]

    def __init__(self, asked: Questions, ref: int, made: bool) -> None:
        super().__init__(asked, ref, made)
        self._keep(_chunk=1, _ended=False, _got=iter(()), _seen=[])

    def _keep(self, **state: object) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def __next__(self) -> object:
        for value in self._got:
            return value
        # Twice as many at a time, so that an endless one runs little ahead of what is read.
        values = [] if self._ended else self._ask("next", self, self._chunk)
        if type(values) is not list:
            raise SolutionError("an iterator's values are no list")
        seen = [*self._seen, *values][:_MAX_ITEMS] if values else self._seen
        more = min(2 * self._chunk, _MAX_CHUNK)
        self._keep(_chunk=more, _ended=not values, _got=iter(values), _seen=seen)
        for value in self._got:
            return value
        raise StopIteration

    def __iter__(self) -> Iterator[object]:
        return iter(self._seen) if self._ended else self

    def __len__(self) -> int:
        raise TypeError("an iterator has no length")

    def __contains__(self, item: object) -> bool:
        whole = [value for value, _ in zip(self, range(_MAX_ITEMS + 1), strict=False)]
        if len(whole) > _MAX_ITEMS:
            raise SolutionError("an iterator without end")
        return item in whole


def _operator(name: str, reflected: bool = False) -> Callable[[Proxy, object], object]:
    def operate(self: Proxy, other: object) -> object:
        if not isinstance(other, Proxy) and not self._made:
            return NotImplemented
        value = self._ask(name, other, self) if reflected else self._ask(name, self, other)
        if isinstance(other, Proxy) or isinstance(value, Proxy | bool):
            return value
        raise SolutionError(f"{name} of an object and plain data gave plain data")

    return operate


def _unary(name: str) -> Callable[..., object]:
    return lambda self, *args: self._ask(name, self, *args)


_TWO = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift divmod"
for _name in _TWO.split():
    _asked_as = f"{_name}_" if _name in ("and", "or") else _name
    setattr(Proxy, f"__{_name}__", _operator(_asked_as))
    setattr(Proxy, f"__r{_name}__", _operator(_asked_as, reflected=True))
for _name in ("lt", "le", "gt", "ge"):
    setattr(Proxy, f"__{_name}__", _operator(_name))
for _name in ("neg", "pos", "invert", "abs", "round"):
    setattr(Proxy, f"__{_name}__", _unary(_name))


def _refer(value: object) -> Json:
    if isinstance(value, Proxy):
        return {"ref": [value._ref]}
    raise TypeError(f"a test passes a {type(value).__name__}, which is not plain data")


def _reflect(mine: object, theirs: object) -> None:
    """Make a mutable argument equal to what became of its copy, nested ones as well."""
    if isinstance(mine, list) and isinstance(theirs, list):
        if len(mine) == len(theirs):
            mine[:] = [_kept(old, new) for old, new in zip(mine, theirs, strict=True)]
        else:
            mine[:] = theirs
    elif isinstance(mine, dict) and isinstance(theirs, dict):
        merged = {key: _kept(mine.get(key), value) for key, value in theirs.items()}
        mine.clear()
        mine.update(merged)
    elif isinstance(mine, set) and isinstance(theirs, set):
        mine.clear()
        mine.update(theirs)
    elif isinstance(mine, bytearray) and isinstance(theirs, bytearray):
        mine[:] = theirs


def _kept(old: object, new: object) -> object:
    """The old object with the new content where both are mutable and alike, else the new one."""
    if type(old) is type(new) and isinstance(old, list | dict | set | bytearray):
        _reflect(old, new)
        return old
    return new
