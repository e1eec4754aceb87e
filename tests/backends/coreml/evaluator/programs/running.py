"""What whole programs give: control flow, state, functions, modes, what is not finite."""

# mypy: disable-error-code="misc, untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from buildsys.backends.coreml.evaluator.steps import Step
from buildsys.backends.coreml.libraries import ct

from .making import (
    IOS17,
    IOS18,
    Array,
    Program,
    case,
    close,
    converted,
    equal,
    floats,
    mb,
    only,
    package,
    path,
    refuses,
    saved,
    types,
)


@case
def every_result_is_rounded_or_none_is() -> None:
    kernel, bias = floats(12, 16), floats(12)

    def body(x: Any) -> Any:
        return mb.square(x=mb.linear(x=x, weight=kernel, bias=bias))

    program = Program.open(package(body, (3, 16), half=True))
    given = floats(3, 16)
    weight, shift = (torch.tensor(each).half().float() for each in (kernel, bias))
    exact = torch.nn.functional.linear(torch.tensor(given), weight, shift)
    close(only(program.run({"x": given}, "fp32")), exact.square().numpy(), 1e-7)
    rounded = torch.nn.functional.linear(torch.tensor(given).half().float(), weight, shift)
    wanted = rounded.half().float().square().half().float()
    equal(only(program.run({"x": given})), wanted.numpy())


@case
def shapes_that_are_only_moved_stay_what_they_are() -> None:
    """What is not rounded again, since it was before, has the bits of what is."""

    def body(x: Any) -> Any:
        x = mb.transpose(x=mb.mul(x=x, y=3.3), perm=[1, 0])
        first, second = mb.split(x=mb.relu(x=x), num_splits=2, axis=0)
        return mb.concat(values=[second, mb.pad(x=first, pad=[0, 1], constant_val=0.1)], axis=1)

    program = Program.open(package(body, (3, 4), half=True))
    results: list[tuple[str, torch.Tensor]] = []
    found = program.run({"x": floats(3, 4)}, observe=lambda s, t: results.append((s.operation, *t)))
    for operation, *tensors in results:
        for tensor in tensors:
            if operation != "cast":
                assert torch.equal(tensor, tensor.half().float()), operation
    assert set(np.unique(only(found)).tolist()) >= {float(np.float32(np.float16(0.1)))}


@case
def loops() -> None:
    def body(x: Any) -> Any:
        def test(count: Any, _: Any) -> Any:
            return mb.less(x=count, y=5)

        def again(count: Any, total: Any) -> Any:
            return mb.add(x=count, y=1), mb.add(x=mb.mul(x=total, y=2.0), y=x)

        return mb.while_loop(_cond=test, _body=again, loop_vars=(0, mb.identity(x=x)))

    program = Program.open(package(body, (3,)))
    given = np.array([1, 2, -3], np.float32)
    found = program.run({"x": given})
    by_type = {each.dtype.name: each for each in found.values()}
    equal(by_type["int32"].reshape(()), np.array(5, np.int32))
    equal(by_type["float32"], given * 63)
    steps = [each.operation for each in program.steps]
    assert steps.index("while_loop") < steps.index("less"), steps
    seen: list[str] = []
    program.run({"x": given}, observe=lambda step, _: seen.append(step.operation))
    assert (seen.count("less"), seen.count("mul"), seen[-1]) == (6, 5, "while_loop"), seen


@case
def branches() -> None:
    def body(x: Any, y: Any) -> Any:
        above = mb.greater(x=mb.reduce_sum(x=x, keep_dims=False), y=0.0)
        return mb.cond(
            pred=above,
            _true_fn=lambda: mb.add(x=x, y=y),
            _false_fn=lambda: mb.sub(x=x, y=y),
        )

    program = Program.open(package(body, (2,), (2,)))
    up, other = np.array([1, 2], np.float32), np.array([10, 20], np.float32)
    equal(only(program.run({"x": up, "y": other})), up + other)
    equal(only(program.run({"x": -up, "y": other})), -up - other)


@case
def lists() -> None:
    def body(x: Any) -> Any:
        ls = mb.make_list(init_length=1, dynamic_length=True, elem_shape=(2,))
        ls = mb.list_write(ls=ls, index=0, value=x)
        ls = mb.list_write(ls=ls, index=2, value=mb.mul(x=x, y=3.0))
        ls = mb.list_scatter(ls=ls, indices=[1, 3], value=mb.stack(values=[x, x], axis=0))
        both = mb.list_gather(ls=ls, indices=[2, 1])
        return mb.mul(x=both, y=mb.cast(x=mb.list_length(ls=ls), dtype="fp32"))

    given = np.array([1, -2], np.float32)
    found = only(Program.open(package(body, (2,))).run({"x": given}))
    equal(found, np.stack([given * 12, given * 4]))


@case
def a_place_that_nothing_was_written_to_holds_zeros() -> None:
    def body(x: Any) -> Any:
        ls = mb.make_list(init_length=2, dynamic_length=True, elem_shape=(2,))
        written = mb.list_write(ls=mb.list_write(ls=ls, index=0, value=x), index=4, value=x)
        return mb.list_gather(ls=written, indices=[1, 3, 4])

    given = np.array([1, -2], np.float32)
    found = only(Program.open(package(body, (2,))).run({"x": given}))
    equal(found, np.stack([np.zeros_like(given), np.zeros_like(given), given]))


@case
def reading_behind_a_list() -> None:
    def body(x: Any) -> Any:
        ls = mb.make_list(init_length=2, dynamic_length=True, elem_shape=(2,))
        return mb.list_read(ls=mb.list_write(ls=ls, index=0, value=x), index=2)

    program = Program.open(package(body, (2,)))
    refuses(lambda: program.run({"x": floats(2)}), "list_read", "before it is written")


@case
def states() -> None:
    specs = [
        mb.TensorSpec((3,), dtype=types.fp16),
        mb.StateTensorSpec((3,), dtype=types.fp16),
    ]

    @mb.program(input_specs=specs, opset_version=IOS18)
    def counter(x: Any, kept: Any) -> Any:
        total = mb.add(x=mb.read_state(input=kept), y=x)
        return mb.mul(x=mb.coreml_update_state(state=kept, value=total), y=np.float16(2))

    program = Program.open(saved(converted(counter, IOS18, half=True)))
    (feature,) = program.inputs
    given = np.array([1, 2, 3], feature.dtype)
    state = program.new_state()
    for times in (1, 2, 3):
        found = only(program.run({feature.name: given}, state=state))
        assert np.array_equal(found, 2 * times * given), (found, times)
    again = only(program.run({feature.name: given}))
    assert np.array_equal(again, 2 * given), "a run without a state starts with zeros"
    (kept,) = state.values()
    assert kept.tensor.tolist() == [3, 6, 9]
    # A run that is done again to find where infinity arises adds once.
    huge = np.full(3, 60000, feature.dtype)
    program.run({feature.name: huge}, state=state)
    assert program.alarms
    assert kept.tensor.tolist() == [60000, 60000, 60000]


@case
def several_functions() -> None:
    def made(factor: float) -> Any:
        @mb.program(input_specs=[mb.TensorSpec((4,))], opset_version=IOS18)
        def program(x: Any) -> Any:
            return mb.mul(x=x, y=np.full(4, factor, np.float32))

        return saved(converted(program, IOS18))

    described = ct.utils.MultiFunctionDescriptor()
    described.add_function(str(made(2.0)), "main", "twice")
    described.add_function(str(made(3.0)), "main", "thrice")
    described.default_function_name = "thrice"
    where = path()
    ct.utils.save_multifunction(described, str(where))
    given = floats(4)
    equal(only(Program.open(where).run({"x": given})), given * 3)
    equal(only(Program.open(where, "twice").run({"x": given})), given * 2)
    refuses(lambda: Program.open(where, "half"), "no function `half`")


class Pooled(torch.nn.Module):
    """A convolution over a length that may vary, and its mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = torch.nn.Conv1d(4, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x)).mean(-1)


def _traced(inputs: list[Any], **more: Any) -> tuple[Any, Any]:
    module = Pooled().eval()
    traced = torch.jit.trace(module, torch.zeros(1, 4, 16))
    return module, converted(traced, IOS17, source="pytorch", inputs=inputs, **more)


def _agrees(program: Program, module: Any, length: int) -> None:
    given = floats(1, 4, length)
    with torch.inference_mode():
        wanted = module(torch.tensor(given)).numpy()
    close(only(program.run({"x": given})), wanted)


@case
def lengths_in_a_range() -> None:
    limits = ct.RangeDim(8, 32, default=16)
    module, model = _traced([ct.TensorType(name="x", shape=(1, 4, limits))])
    program = Program.open(saved(model))
    for length in (8, 16, 32):
        _agrees(program, module, length)
    for length in (7, 33):
        refuses(lambda n=length: program.run({"x": floats(1, 4, n)}), "`x`", "8..32 only")
    refuses(lambda: program.run({"x": floats(1, 5, 16)}), "[1, 5, 16]")


@case
def lengths_that_are_enumerated() -> None:
    sizes = ct.EnumeratedShapes([(1, 4, 16), (1, 4, 24)], default=(1, 4, 16))
    module, model = _traced([ct.TensorType(name="x", shape=sizes)])
    program = Program.open(saved(model))
    for length in (16, 24):
        _agrees(program, module, length)
    refuses(lambda: program.run({"x": floats(1, 4, 20)}), "[1, 4, 20]", "[1, 4, 24] only")


@case
def lengths_that_are_fixed() -> None:
    _, model = _traced([ct.TensorType(name="x", shape=(1, 4, 16))])
    program = Program.open(saved(model))
    refuses(lambda: program.run({"x": floats(1, 4, 20)}), "[1, 4, 20]", "takes [1, 4, 16]")


@case
def inputs_are_needed_and_known_and_of_their_type() -> None:
    def body(x: Any, y: Any) -> Any:
        return mb.add(x=x, y=y)

    program = Program.open(package(body, (2,), (2,)))
    refuses(lambda: program.run({"x": floats(2)}), "the input `y` is missing")
    more = {name: floats(2) for name in "xyz"}
    refuses(lambda: program.run(more), "no input `z`")

    @mb.program(input_specs=[mb.TensorSpec((2,), dtype=types.int32)])
    def whole(x: Any) -> Any:
        return mb.add(x=x, y=7)

    program = Program.open(saved(converted(whole)))
    equal(only(program.run({"x": np.array([1, -2], np.int64)})), np.array([8, 5], np.int32))
    equal(only(program.run({"x": np.array([2**31 - 1, 0])})), np.array([-(2**31) + 6, 7], np.int32))
    refuses(lambda: program.run({"x": floats(2)}), "`x` is float32", "int32")
    refuses(lambda: program.run({"x": np.array([2**31, 0])}), "do not fit into int32")


@case
def an_optional_input_has_its_default() -> None:
    inputs = [ct.TensorType(name="x", shape=(1, 4, 16), default_value=np.full((1, 4, 16), 2.5))]
    module, model = _traced(inputs)
    program = Program.open(saved(model))
    with torch.inference_mode():
        wanted = module(torch.full((1, 4, 16), 2.5)).numpy()
    close(only(program.run({})), wanted)


@case
def arrays_at_the_edges_have_the_types_that_are_described() -> None:
    sizes = [ct.TensorType(name="x", shape=(1, 4, 16), dtype=np.float16)]
    results = [ct.TensorType(name="made", dtype=np.float16)]
    module, model = _traced(sizes, outputs=results, half=True)
    program = Program.open(saved(model))
    given = floats(1, 4, 16)
    found = only(program.run({"x": given}))
    assert found.dtype == np.float16
    with torch.inference_mode():
        close(found, module(torch.tensor(given)).numpy(), 5e-3)
    equal(only(program.run({"x": given.astype(np.float64)})), found)


class Channels(torch.nn.Module):
    """Weighs the channels of a picture apart."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * torch.tensor([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1)).sum(1)


@case
def pictures_in_either_order_of_colours() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    traced = torch.jit.trace(Channels(), torch.zeros(1, 3, 5, 7))
    for color in ("RGB", "BGR"):
        image = ct.ImageType(
            name="x",
            shape=(1, 3, 5, 7),
            scale=0.5,
            bias=[1.0, 2.0, 3.0],
            color_layout=getattr(ct.colorlayout, color),
        )
        program = Program.open(saved(converted(traced, source="pytorch", inputs=[image])))
        ordered = picture if color == "RGB" else picture[..., ::-1]
        scaled = ordered * 0.5 + np.array([1.0, 2.0, 3.0])
        wanted = (scaled * np.array([1.0, 10.0, 100.0])).sum(-1)[None]
        close(only(program.run({"x": picture})), wanted, 1e-6)
        refuses(lambda p=program: p.run({"x": picture[:4]}), "a picture of [5, 7, 3]")


@case
def grey_pictures() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (5, 7)).astype(np.uint8)
    traced = torch.jit.trace(torch.nn.ReLU(), torch.zeros(1, 1, 5, 7))
    image = ct.ImageType(
        name="x", shape=(1, 1, 5, 7), scale=0.5, bias=-8, color_layout=ct.colorlayout.GRAYSCALE
    )
    program = Program.open(saved(converted(traced, source="pytorch", inputs=[image])))
    wanted = np.maximum(picture.astype(np.float32) * 0.5 - 8, 0)[None, None]
    equal(only(program.run({"x": picture})), wanted)
    equal(only(program.run({"x": picture.astype(np.float32)})), wanted)


@case
def classifiers_give_a_label_and_a_dictionary() -> None:
    named: list[tuple[list[Any], Any]] = [(["cat", "dog", "emu"], str), ([7, 5, 9], int)]
    for labels, kind in named:
        config = ct.ClassifierConfig(labels)
        traced = torch.jit.trace(torch.nn.Softmax(-1), torch.zeros(1, 3))
        inputs = [ct.TensorType(name="x", shape=(1, 3))]
        model = converted(traced, source="pytorch", inputs=inputs, classifier_config=config)
        program = Program.open(saved(model))
        given = np.array([[0.5, 2.0, 1.0]], np.float32)
        found = program.run({"x": given})
        assert found["classLabel"] == labels[1]
        assert isinstance(found["classLabel"], kind)
        numbers = found["classLabel_probs"]
        assert list(numbers) == labels
        close(list(numbers.values()), torch.tensor(given).softmax(-1).numpy()[0])


@case
def steps_are_numbered_and_tell_of_their_inputs() -> None:
    weight = floats(4, 3)

    def body(x: Any, y: Any) -> Any:
        product = mb.linear(x=x, weight=weight, bias=np.ones(4, np.float32), name="product")
        return mb.concat(values=[product, y], axis=0, name="joined")

    program = Program.open(package(body, (2, 3), (1, 4)))
    linear, joined = program.steps
    assert (linear.number, linear.operation, linear.outputs) == (1, "linear", ("product",))
    assert linear.inputs["x"] == ("x",)
    assert set(linear.constants) == {*linear.inputs["weight"], *linear.inputs["bias"]}
    (held,) = linear.inputs["weight"]
    equal(program.constants[held].value, weight)
    assert (joined.number, joined.inputs["values"]) == (2, ("product", "y"))
    assert linear.place == "`linear` (operation 1, which makes `product`)"
    seen: list[tuple[int, tuple[int, ...]]] = []

    def watch(step: Step, results: tuple[torch.Tensor, ...]) -> None:
        seen.extend((step.number, tuple(each.shape)) for each in results)

    feed: dict[str, Array] = {"x": floats(2, 3), "y": floats(1, 4)}
    equal(only(program.run(feed, observe=watch)), only(program.run(feed)))
    assert seen == [(1, (2, 4)), (2, (3, 4))]


@case
def overflow_is_told_with_the_range_that_overflowed() -> None:
    def body(x: Any) -> Any:
        wide = mb.mul(x=mb.mul(x=x, y=3.0), y=400.0, name="wide")
        return mb.real_div(x=1.0, y=mb.add(x=wide, y=1.0))

    program = Program.open(package(body, (3,), half=True))
    given = np.array([1, 100, -200], np.float32)
    found = only(program.run({"x": given}))
    assert np.isfinite(found).all(), "infinity in between hides in the result"
    (alarm,) = program.alarms
    assert (alarm.operation, alarm.nan, alarm.infinite) == ("mul", 0, 2)
    assert (alarm.low, alarm.high, alarm.overflow) == (-240000.0, 120000.0, True)
    assert alarm.number == next(s.number for s in program.steps if alarm.output in s.outputs)
    assert alarm.output.startswith("wide")
    assert "overflow its declared type" in str(alarm)
    program.run({"x": given}, "fp32")
    assert program.alarms == ()
    program.run({"x": np.ones(3, np.float32)})
    assert program.alarms == ()


@case
def nan_is_told_where_it_arises_and_nowhere_after() -> None:
    def body(x: Any) -> Any:
        x = mb.reshape(x=mb.sqrt(x=x, name="root"), shape=[3, 1])
        return mb.softmax(x=mb.relu(x=x), axis=0)

    program = Program.open(package(body, (3,)))
    program.run({"x": np.array([4, -1, 9], np.float32)})
    (alarm,) = program.alarms
    assert (alarm.output, alarm.nan, alarm.infinite) == ("root", 1, 0)
    assert (alarm.low, alarm.high, alarm.overflow) == (2.0, 3.0, False)


@case
def a_mask_of_infinity_is_told_and_so_is_the_nan_that_it_makes() -> None:
    lowest = np.full(3, np.finfo(np.float32).min, np.float32)

    def body(x: Any) -> Any:
        hidden = mb.mul(x=mb.sub(x=1.0, y=x), y=lowest, name="hidden")
        return mb.softmax(x=hidden, axis=0)

    program = Program.open(package(body, (3,), half=True))
    (constant,) = program.constant_alarms
    assert (constant.operation, constant.infinite, constant.number) == ("const", 3, 0)
    found = only(program.run({"x": np.array([1, 0, 1], np.float32)}))
    assert np.isnan(found).all()
    first = program.alarms[0]
    assert (first.operation, first.nan) == ("mul", 2), first
    assert first.output.startswith("hidden")


@case
def nothing_that_is_not_finite_goes_unseen() -> None:
    """In nets of random operations, each of which gets infinity or NaN in turn, an alarm sounds."""
    random = np.random.default_rng(11)
    extra: dict[str, dict[str, Any]] = {
        "softmax": {"axis": 1},
        "reshape": {"shape": [2, 3]},
        "clip": {"alpha": -5.0, "beta": 5.0},
    }
    unary = ("relu", "tanh", "exp", "square", "sigmoid", "softmax", "abs", "reshape", "erf", "clip")

    def body(x: Any, y: Any) -> Any:
        values = [x, y]
        for _ in range(14):
            a, b = (values[i] for i in random.integers(0, len(values), 2))
            chosen = random.integers(0, 14)
            if chosen < len(unary):
                name = unary[chosen]
                more: dict[str, Any] = extra.get(name, {})
                values.append(getattr(mb, name)(x=a, **more))
            else:
                name = ("add", "mul", "sub", "real_div")[chosen - len(unary)]
                values.append(getattr(mb, name)(x=a, y=b))
        return values[-1], values[-2], values[-3]

    for _ in range(12):
        program = Program.open(package(body, (2, 3), (2, 3)))
        for size in (1.0, 30.0, 1e5, 1e19):
            feed = {each.name: floats(2, 3) * np.float32(size) for each in program.inputs}
            seen: list[bool] = []
            program.run(
                feed,
                "fp32",
                observe=lambda _, tensors, seen=seen: seen.extend(
                    bool(torch.isfinite(t).all()) for t in tensors
                ),
            )
            first = program.alarms
            program.run(feed, "fp32")
            assert program.alarms == first
            assert bool(first) == (not all(seen)), (size, seen)


@case
def a_run_frees_what_is_not_needed() -> None:
    """A hundred results of 4 MB do not lie in memory at once."""
    import resource

    def body(x: Any) -> Any:
        for _ in range(100):
            x = mb.tanh(x=x)
        return x

    program = Program.open(package(body, (1024, 1024)))
    given = floats(1024, 1024)
    program.run({"x": given})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    program.run({"x": given})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
