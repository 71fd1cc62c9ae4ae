"""The instructions of pickles, as far as data needs them: those of protocols 2 to 5.

Left out on purpose: INST and OBJ (old ways to call), EXT1 to EXT4 (names by number), PERSID (names
as text), out-of-band buffers, and the numbers in decimal digits of protocol 0.
"""

import struct
from collections.abc import Callable

from wordsight.checkpoints.pickle_machine import MAX_NAME, ForbiddenError, PickleMachine
from wordsight.checkpoints.pickled_classes import Maker, resolve
from wordsight.checkpoints.pickled_values import Inert, check_key, is_dictionary, is_list, is_tuple

HIGHEST_PROTOCOL = 5
Step = Callable[[PickleMachine], None]


def _constant(value: object) -> Step:
    return lambda machine: machine.push(value)


def _integer(form: str) -> Step:
    return lambda machine: machine.push(machine.number(form))


def _long(machine: PickleMachine) -> None:
    machine.push(int.from_bytes(machine.take(machine.number("<B")), "little", signed=True))


def _float(machine: PickleMachine) -> None:
    machine.push(struct.unpack(">d", machine.take(8))[0])


def _text(form: str) -> Step:
    return lambda machine: machine.push(machine.take(machine.number(form)).decode())


def _bytes(form: str) -> Step:
    return lambda machine: machine.push(machine.take(machine.number(form)))


def _old_text(form: str) -> Step:
    """Python 2 wrote names as bytes, and so did it with bytes."""

    def push(machine: PickleMachine) -> None:
        raw = machine.take(machine.number(form))
        machine.push(raw.decode() if raw.isascii() else raw)

    return push


def _skip(size: int) -> Step:
    def skip(machine: PickleMachine) -> None:
        machine.take(size)

    return skip


def _protocol(machine: PickleMachine) -> None:
    protocol = machine.number("<B")
    if protocol > HIGHEST_PROTOCOL:
        raise ValueError(f"protocol {protocol}, at most {HIGHEST_PROTOCOL} is read")


def _mark(machine: PickleMachine) -> None:
    machine.marks.append(len(machine.stack))


def _pop(machine: PickleMachine) -> None:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.pop()


def _pop_mark(machine: PickleMachine) -> None:
    machine.pop_to_mark()


def _empty_list(machine: PickleMachine) -> None:
    machine.push([])


def _empty_dictionary(machine: PickleMachine) -> None:
    machine.push({})


def _marked_tuple(machine: PickleMachine) -> None:
    machine.push(tuple(machine.pop_to_mark()))


def _marked_list(machine: PickleMachine) -> None:
    machine.push(machine.pop_to_mark())


def _tuple(size: int) -> Step:
    def push(machine: PickleMachine) -> None:
        values = [machine.pop() for _ in range(size)]
        machine.push(tuple(reversed(values)))

    return push


def _append(machine: PickleMachine) -> None:
    _extend(machine, [machine.pop()])


def _append_marked(machine: PickleMachine) -> None:
    _extend(machine, machine.pop_to_mark())


def _extend(machine: PickleMachine, values: list[object]) -> None:
    target = machine.top()
    if not is_list(target):
        raise ValueError("it adds to something that is not a list")
    target.extend(values)


def _set_item(machine: PickleMachine) -> None:
    value, key = machine.pop(), machine.pop()
    _update(machine, [key, value])


def _set_items(machine: PickleMachine) -> None:
    _update(machine, machine.pop_to_mark())


def _update(machine: PickleMachine, values: list[object]) -> None:
    target = machine.top()
    if not is_dictionary(target) or len(values) % 2:
        raise ValueError("it adds to something that is not a dictionary, or half an entry")
    for key, value in zip(values[::2], values[1::2], strict=True):
        check_key(key)
        target[key] = value


def _get(form: str) -> Step:
    return lambda machine: machine.push(machine.memo[machine.number(form)])


def _put(form: str) -> Step:
    def put(machine: PickleMachine) -> None:
        machine.memo[machine.number(form)] = machine.top()

    return put


def _memoize(machine: PickleMachine) -> None:
    machine.memo[len(machine.memo)] = machine.top()


def _global(machine: PickleMachine) -> None:
    module, name = machine.line(), machine.line()
    _push_named(machine, module, name)


def _stack_global(machine: PickleMachine) -> None:
    name, module = machine.pop(), machine.pop()
    if not (isinstance(name, str) and isinstance(module, str)):
        raise ValueError("a name that is not text")
    if len(name) + len(module) > 2 * MAX_NAME:
        raise ValueError("a name without an end")
    _push_named(machine, module, name)


def _push_named(machine: PickleMachine, module: str, name: str) -> None:
    known = resolve(module, name)
    if known is None:
        raise ForbiddenError(f"{module}.{name}"[:MAX_NAME].__repr__())
    machine.push(known)


def _make(machine: PickleMachine) -> None:
    """Do what REDUCE and NEWOBJ do: the arguments, and below them what to make of them."""
    arguments, maker = machine.pop(), machine.pop()
    if not isinstance(maker, Maker) or not is_tuple(arguments):
        raise ForbiddenError("a call of something that is no function")
    machine.push(maker.make(arguments))


def _make_with_names(machine: PickleMachine) -> None:
    names = machine.pop()
    if not is_dictionary(names) or names:
        raise ForbiddenError("a call with named arguments")
    _make(machine)


def _build(machine: PickleMachine) -> None:
    """Keep the state of an inert object; the attributes of a dictionary are not needed."""
    state, target = machine.pop(), machine.top()
    if isinstance(target, Inert):
        target.state = state
    elif not is_dictionary(target):
        raise ForbiddenError("a change of something that is no object")


def _persistent(machine: PickleMachine) -> None:
    machine.push(machine.refer(machine.pop()))


STEPS: dict[bytes, Step] = {
    b"\x80": _protocol,
    b"\x95": _skip(8),  # length of a frame
    b"(": _mark,
    b"0": _pop,
    b"1": _pop_mark,
    b"N": _constant(None),
    b"\x88": _constant(True),
    b"\x89": _constant(False),
    b"J": _integer("<i"),
    b"K": _integer("<B"),
    b"M": _integer("<H"),
    b"\x8a": _long,
    b"G": _float,
    b"\x8c": _text("<B"),
    b"X": _text("<I"),
    b"\x8d": _text("<Q"),
    b"U": _old_text("<B"),
    b"T": _old_text("<i"),
    b"C": _bytes("<B"),
    b"B": _bytes("<I"),
    b"\x8e": _bytes("<Q"),
    b"\x96": _bytes("<Q"),
    b")": _constant(()),
    b"t": _marked_tuple,
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"]": _empty_list,
    b"a": _append,
    b"e": _append_marked,
    b"}": _empty_dictionary,
    b"s": _set_item,
    b"u": _set_items,
    b"\x8f": _empty_list,  # a set: what is in one is never asked for
    b"\x90": _append_marked,
    b"\x91": _marked_list,
    b"h": _get("<B"),
    b"j": _get("<I"),
    b"q": _put("<B"),
    b"r": _put("<I"),
    b"\x94": _memoize,
    b"c": _global,
    b"\x93": _stack_global,
    b"R": _make,
    b"\x81": _make,
    b"\x92": _make_with_names,
    b"b": _build,
    b"Q": _persistent,
}
