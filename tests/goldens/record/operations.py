"""Records operations in the form of ops.json: `python operations.py ../data`.

Writes more.json and ops/NAME.safetensors. Inputs are exact in float32; PyTorch computes in float64.
"""

import json
import sys

import numpy
import torch
from safetensors.numpy import save_file

torch.manual_seed(0)
OPERATIONS = {}
# Half a unit in the last place for what is only moved, more where sums are taken: relative to the largest element.
EXACT, SUMS = 0.0, 2e-6


class Recorder:
    """The calls of one operation."""

    def __init__(self, name, torch_name, call, tolerance):
        self.name, self.call, self.tolerance = name, call, tolerance
        self.cases, self.tensors = [], {}
        columns = {"out": tolerance, "grad": SUMS}
        rtol = {"cpu": columns, "gpu": {k: 5 * v for k, v in columns.items()}}
        OPERATIONS[name] = {"torch": torch_name, "rtol": rtol, "cases": self.cases}
        OPERATIONS[name]["tensors"] = self.tensors

    def store(self, name, tensor):
        array = tensor.detach().numpy()
        if array.dtype == numpy.float64:
            array = array.astype(numpy.float32)
        self.tensors[name] = numpy.array(array, order="C")

    def case(self, tags=(), nondiff=(), **args):
        key = f"c{len(self.cases) + 1:02}"
        leaves, written = {}, {}

        def write(name, value):
            if isinstance(value, torch.Tensor):
                full = f"{key}.{name}"
                self.store(full, value)
                if value.dtype == torch.float32:
                    value = value.double()
                    if name.split(".")[0] not in nondiff:
                        leaves[name] = value.requires_grad_()
                return {"tensor": full}, value
            if isinstance(value, (list, tuple)):
                pairs = [write(f"{name}.{i}", v) for i, v in enumerate(value)]
                return [p[0] for p in pairs], [p[1] for p in pairs]
            if isinstance(value, slice):
                return {"slice": [value.start, value.stop, value.step]}, value
            if value is Ellipsis:
                return "...", value
            return value, value

        given = {}
        for name, value in args.items():
            written[name], given[name] = write(name, value)
        record = {"id": f"{self.name}/{key}", "args": written, "error": None, "tags": list(tags)}
        self.cases.append(record)
        try:
            outputs = self.call(**given)
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            record["error"] = str(error).split("\n")[0]
            record["tags"].append("error")
            return
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        record.update(outputs=[], grad_outputs=[], grads={}, nondiff=list(nondiff), atol={})
        total = 0
        for i, out in enumerate(outputs):
            self.store(f"{key}.out{i}", out)
            record["outputs"].append(f"{key}.out{i}")
            if not out.dtype.is_floating_point:
                record["grad_outputs"].append(None)
                continue
            atol = float(f"{self.tolerance * largest(out):.2e}")
            record["atol"][f"out{i}"] = [atol, float(f"{5 * atol:.2e}")]
            upstream = (torch.randint(1, 64, out.shape).float() / 16) * (2 * torch.randint(0, 2, out.shape) - 1)
            self.store(f"{key}.gout{i}", upstream)
            record["grad_outputs"].append(f"{key}.gout{i}")
            if out.requires_grad:
                total = total + (out * upstream.double()).sum()
        if isinstance(total, torch.Tensor):
            total.backward()
        for name, leaf in leaves.items():
            if leaf.grad is None:
                record["grads"][f"{key}.{name}"] = None
                continue
            self.store(f"{key}.grad.{name}", leaf.grad)
            record["grads"][f"{key}.{name}"] = f"{key}.grad.{name}"
            atol = float(f"{SUMS * largest(leaf.grad):.2e}")
            record["atol"][f"grad.{name}"] = [atol, float(f"{5 * atol:.2e}")]


def largest(tensor):
    finite = tensor.detach()[torch.isfinite(tensor.detach())]
    return float(finite.abs().max()) if finite.numel() else 0.0


def floats(*shape):
    """Multiples of 1/16, which float32 holds exactly."""
    return torch.randint(-64, 65, shape).float() / 16


def distinct(*shape):
    count = int(numpy.prod(shape))
    return (torch.randperm(count).float() / 8 - count / 16).reshape(shape)


def indices(size, *shape):
    return torch.randint(0, size, shape)


def arrangements():
    r = Recorder("roll", "torch.roll", lambda input, shifts, dims: torch.roll(input, shifts, dims), EXACT)
    r.case(input=floats(5), shifts=[2], dims=[0])
    r.case(input=floats(3, 4), shifts=[-1, 6], dims=[0, -1])
    r.case(input=floats(3, 4), shifts=[5], dims=[])
    r.case(input=floats(0, 4), shifts=[1], dims=[0], tags=["empty"])
    r.case(input=floats(2, 3), shifts=[1, 2], dims=[0])
    r = Recorder("repeat_interleave", "torch.repeat_interleave",
                 lambda input, repeats, dim: torch.repeat_interleave(input, repeats, dim), EXACT)
    r.case(input=floats(2, 3), repeats=2, dim=None)
    r.case(input=floats(2, 3), repeats=3, dim=1)
    r.case(input=floats(2, 3), repeats=torch.tensor([2, 0]), dim=0)
    r.case(input=floats(4), repeats=torch.tensor([1, 0, 3, 2]), dim=None)
    r.case(input=floats(2, 3), repeats=torch.tensor([1, 2]), dim=1)
    r = Recorder("unfold", "torch.Tensor.unfold",
                 lambda input, dimension, size, step: input.unfold(dimension, size, step), EXACT)
    r.case(input=floats(7), dimension=0, size=3, step=2)
    r.case(input=floats(2, 6, 3), dimension=1, size=4, step=1)
    r.case(input=floats(3), dimension=0, size=4, step=1)
    r = Recorder("diagonal", "torch.diagonal",
                 lambda input, offset, dim1, dim2: torch.diagonal(input, offset, dim1, dim2), EXACT)
    r.case(input=floats(3, 4), offset=1, dim1=0, dim2=1)
    r.case(input=floats(3, 2, 4), offset=-1, dim1=0, dim2=-1)
    r.case(input=floats(3, 3), offset=7, dim1=1, dim2=0, tags=["empty"])
    r = Recorder("diag_embed", "torch.diag_embed",
                 lambda input, offset, dim1, dim2: torch.diag_embed(input, offset, dim1, dim2), EXACT)
    r.case(input=floats(2, 3), offset=-1, dim1=-2, dim2=-1)
    r.case(input=floats(2, 3), offset=1, dim1=0, dim2=2)
    r = Recorder("movedim", "torch.movedim",
                 lambda input, source, destination: torch.movedim(input, source, destination), EXACT)
    r.case(input=floats(2, 3, 4), source=[0], destination=[-1])
    r.case(input=floats(2, 3, 4, 1), source=[3, 0], destination=[0, 2])


def order():
    r = Recorder("argsort", "torch.argsort(stable=True)",
                 lambda input, dim, descending: torch.argsort(input, dim=dim, descending=descending, stable=True), EXACT)
    r.case(input=indices(4, 3, 7).float(), dim=-1, descending=False, nondiff=["input"])
    r.case(input=indices(4, 7, 3).float(), dim=0, descending=True, nondiff=["input"])
    nan = torch.tensor([1.0, float("nan"), -float("inf"), float("inf"), float("nan"), -0.0, 0.0])
    for descending in [False, True]:
        r.case(input=nan, dim=0, descending=descending, nondiff=["input"], tags=["nonfinite"])
    r = Recorder("kthvalue", "torch.kthvalue",
                 lambda input, k, dim, keepdim: torch.kthvalue(input, k, dim, keepdim), EXACT)
    r.case(input=distinct(3, 7), k=3, dim=1, keepdim=False)
    r.case(input=distinct(3, 7), k=1, dim=0, keepdim=True)
    r.case(input=distinct(3, 7), k=4, dim=0, keepdim=True)
    r = Recorder("median", "torch.median", lambda input, dim, keepdim:
                 torch.median(input) if dim is None else torch.median(input, dim, keepdim), EXACT)
    r.case(input=distinct(3, 6), dim=1, keepdim=False)
    r.case(input=distinct(3, 6), dim=-2, keepdim=True)
    r.case(input=distinct(3, 6), dim=None, keepdim=False)
    r.case(input=indices(2, 9).float(), dim=None, keepdim=False, tags=["ties"])
    r.case(input=torch.tensor([1.0, float("nan"), 2.0]), dim=0, keepdim=False, tags=["nonfinite"])
    r.case(input=torch.tensor([1.0, float("nan"), 2.0]), dim=None, keepdim=False, tags=["nonfinite"])
    r = Recorder("quantile", "torch.quantile",
                 lambda input, q, dim, keepdim: torch.quantile(input, q, dim, keepdim), SUMS)
    r.case(input=distinct(3, 6), q=0.3, dim=1, keepdim=False)
    r.case(input=distinct(3, 6), q=0.5, dim=0, keepdim=True)
    r.case(input=distinct(3, 6), q=0.9, dim=None, keepdim=False)
    r.case(input=torch.tensor([1.0, float("nan"), 2.0]), q=0.1, dim=0, keepdim=False, tags=["nonfinite"])
    r.case(input=distinct(3), q=1.5, dim=0, keepdim=False)


def by_index():
    r = Recorder("index_add", "torch.index_add", lambda input, dim, index, source, alpha:
                 torch.index_add(input, dim, index, source, alpha=alpha), SUMS)
    r.case(input=floats(4, 3), dim=0, index=indices(4, 7), source=floats(7, 3), alpha=1.0)
    r.case(input=floats(2, 5, 3), dim=1, index=indices(5, 4), source=floats(2, 4, 3), alpha=-0.5)
    r.case(input=floats(4), dim=0, index=torch.tensor([1, 4]), source=floats(2), alpha=1.0)
    r = Recorder("index_copy", "torch.index_copy",
                 lambda input, dim, index, source: torch.index_copy(input, dim, index, source), EXACT)
    r.case(input=floats(4, 3), dim=0, index=torch.tensor([3, 0]), source=floats(2, 3))
    r.case(input=floats(4, 3), dim=-1, index=torch.tensor([2, 0, 1]), source=floats(4, 3))
    r.case(input=floats(4, 3), dim=0, index=torch.tensor([3, 0]), source=floats(3, 3))
    r = Recorder("index_fill", "torch.index_fill",
                 lambda input, dim, index, value: torch.index_fill(input, dim, index, value), EXACT)
    r.case(input=floats(4, 3), dim=1, index=torch.tensor([2, 0, 2]), value=1.5)
    r = Recorder("scatter", "torch.scatter",
                 lambda input, dim, index, src: torch.scatter(input, dim, index, src), EXACT)
    permuted = torch.stack([torch.randperm(5) for _ in range(3)])
    r.case(input=floats(3, 5), dim=1, index=permuted, src=floats(3, 5))
    r.case(input=floats(3, 5), dim=1, index=permuted[:2, :3], src=floats(2, 3))
    r.case(input=floats(3, 5), dim=1, index=permuted[:2, :3], src=floats(2, 4), nondiff=["src"])
    r.case(input=floats(4, 3), dim=0, index=torch.tensor([[1, 0, 3]]), src=floats(1, 3))
    r.case(input=floats(3, 5), dim=0, index=torch.tensor([[1, 4]]), src=floats(1, 2))
    r = Recorder("scatter_value", "torch.scatter",
                 lambda input, dim, index, value: torch.scatter(input, dim, index, value), EXACT)
    r.case(input=floats(3, 5), dim=1, index=indices(5, 3, 2), value=-2.0)
    for reduce in ["sum", "mean", "amax", "amin"]:
        name = f"scatter_reduce_{reduce}"
        r = Recorder(name, "torch.scatter_reduce", lambda input, dim, index, src, include_self, reduce=reduce:
                     torch.scatter_reduce(input, dim, index, src, reduce, include_self=include_self), SUMS)
        for include in [True, False]:
            r.case(input=floats(4, 3), dim=0, index=indices(4, 7, 3), src=floats(7, 3), include_self=include)
            r.case(input=indices(3, 2, 6).float() - 1, dim=1, index=indices(4, 2, 9),
                   src=indices(3, 2, 9).float() - 1, include_self=include, tags=["ties"],
                   # PyTorch counts an equal element of the input among the ties although it takes no part.
                   nondiff=[] if include else ["input", "src"])
    r = Recorder("masked_select", "torch.masked_select", torch_masked_select, EXACT)
    r.case(input=floats(3, 4), mask=indices(2, 3, 4).bool())
    r.case(input=floats(3, 1), mask=indices(2, 2, 1, 4).bool(), tags=["broadcast"])
    r.case(input=floats(3), mask=torch.zeros(3, dtype=torch.bool), tags=["empty"])
    r = Recorder("masked_scatter", "torch.masked_scatter",
                 lambda input, mask, source: torch.masked_scatter(input, mask, source), EXACT)
    r.case(input=floats(3, 4), mask=indices(2, 3, 4).bool(), source=floats(12))
    r.case(input=floats(3, 4), mask=indices(2, 4).bool(), source=floats(3, 5), tags=["broadcast"])
    r.case(input=floats(3, 4), mask=torch.ones(3, 4, dtype=torch.bool), source=floats(5))
    r = Recorder("nonzero", "torch.nonzero", lambda input: torch.nonzero(input), EXACT)
    r.case(input=indices(2, 3, 4, 2).float(), nondiff=["input"])
    r.case(input=torch.tensor([float("nan"), 0.0, -0.0, -1.0]), nondiff=["input"], tags=["nonfinite"])
    r.case(input=torch.tensor(True))
    r = Recorder("take", "torch.take", lambda input, index: torch.take(input, index), EXACT)
    r.case(input=floats(3, 4), index=torch.tensor([[0, 11, 5], [-1, -12, 5]]))
    r.case(input=floats(3, 4), index=torch.tensor([12]))
    r = Recorder("take_along_dim", "torch.take_along_dim",
                 lambda input, indices, dim: torch.take_along_dim(input, indices, dim), EXACT)
    r.case(input=floats(3, 4), indices=indices(4, 3, 6), dim=1)
    r.case(input=floats(3, 4), indices=indices(3, 2, 1), dim=0)
    r.case(input=floats(3, 4), indices=indices(12, 5), dim=None)


def torch_masked_select(input, mask):
    return torch.masked_select(input, mask)


INDEXED = [
    ((4, 3), [1]),
    ((4, 3), [-1, -3]),
    ((4, 3), [slice(1, 3)]),
    ((4, 3), [slice(None, -1), slice(1, None)]),
    ((7, 3), [slice(5, 1)]),
    ((7, 3), [slice(-3, 100, 2)]),
    ((2, 3, 4), [Ellipsis, 0]),
    ((2, 3, 4), [1, Ellipsis, slice(None, None, 2)]),
    ((2, 3), [None, slice(None), None, 1]),
    ((2, 3, 4), [Ellipsis]),
    ((4, 3), [torch.tensor([2, 0, 2])]),
    ((4, 3), [torch.tensor([[-1, 0], [1, 1]])]),
    ((4, 3), [slice(None), torch.tensor([2, 0, 2, 1])]),
    ((4, 3), [torch.tensor([2, 0]), torch.tensor([1, -3])]),
    ((4, 3), [torch.tensor([[2], [0]]), torch.tensor([1, 0, 2])]),
    ((2, 3, 4), [torch.tensor([1, 0]), slice(None), torch.tensor([3, 1])]),
    ((2, 3, 4), [slice(None), torch.tensor([1, 0]), torch.tensor([3, 1])]),
    ((2, 3, 4, 2), [slice(None), torch.tensor([[1, 0]]), slice(1, 3), torch.tensor([1, 1])]),
    ((2, 3, 4), [torch.tensor([1, 0, 0]), slice(0, 2), 3]),
    ((2, 3, 4), [0, slice(None), torch.tensor([3, 1])]),
    ((2, 3, 4), [torch.tensor(1), slice(None), torch.tensor([3, 1])]),
    ((2, 3, 4), [torch.tensor([1, 1]), None, torch.tensor([0, 2])]),
    ((3, 2), [torch.tensor([True, False, True])]),
    ((3, 2), [torch.tensor([[True, False], [False, True], [True, True]])]),
    ((2, 3, 2), [torch.tensor([1, 0]), torch.tensor([True, False, True])]),
    ((2, 3, 2), [Ellipsis, torch.tensor([False, True])]),
    ((4, 3), [torch.zeros(0, dtype=torch.long)]),
    ((4, 3), [4]),
    ((4, 3), [0, 0, 0]),
    ((4, 3), [torch.tensor([4])]),
    ((4, 3), [torch.tensor([True, False])]),
    ((4, 3), [torch.tensor([0, 1]), torch.tensor([0, 1, 2])]),
]


def python_index():
    r = Recorder("getitem", "torch.Tensor.__getitem__", lambda input, index: input[tuple(index)], EXACT)
    for shape, index in INDEXED:
        r.case(input=floats(*shape), index=index)
    r.case(input=floats(4, 3), index=[[2, 0]])

    def put(input, index, values, accumulate):
        y = input.clone()
        if accumulate:
            # For ranges and numbers there is nothing that comes twice.
            if not any(isinstance(i, torch.Tensor) for i in index):
                y[tuple(index)] += values
                return y
            places = torch.arange(input.numel()).reshape(input.shape)[tuple(index)]
            return y.put((places), values.expand(places.shape), accumulate=True)
        y[tuple(index)] = values
        return y

    r = Recorder("setitem", "torch.Tensor.__setitem__", put, SUMS)
    for shape, index in INDEXED:
        try:
            place = torch.zeros(shape)[tuple(index)].shape
        except IndexError:
            continue
        twice = torch.zeros(shape, dtype=torch.long)
        twice = twice.reshape(-1).index_add(0, torch.arange(twice.numel()).reshape(shape)[tuple(index)].reshape(-1),
                                            torch.ones(int(numpy.prod(place)), dtype=torch.long))
        if twice.max() < 2:
            r.case(input=floats(*shape), index=index, values=floats(*place), accumulate=False)
        if twice.max() > 1 or len(index) == 1:
            r.case(input=floats(*shape), index=index, values=floats(*place), accumulate=True)
    r.case(input=floats(3, 2, 4), index=[torch.tensor([2, 0])], values=floats(1, 4), accumulate=False, tags=["broadcast"])
    r.case(input=floats(3, 4), index=[0], values=floats(1, 1, 4), accumulate=False, tags=["broadcast"])
    r.case(input=floats(3, 4), index=[torch.tensor([2, 0])], values=floats(3, 4), accumulate=False)


def products():
    r = Recorder("einsum", "torch.einsum", lambda equation, operands: torch.einsum(equation, operands), SUMS)
    a, b = (3, 4), (4, 5)
    for equation, shapes in [
        ("ij,jk->ik", [a, b]),
        ("ij,jk", [a, b]),
        ("ij,jk->ki", [a, b]),
        ("ij->ji", [a]),
        ("ji", [a]),
        ("ij->", [a]),
        ("ij->j", [a]),
        ("ii->i", [(4, 4)]),
        ("ii", [(4, 4)]),
        ("iij->ij", [(3, 3, 2)]),
        ("i,j->ij", [(3,), (4,)]),
        ("i,i->", [(5,), (5,)]),
        ("i,i->i", [(5,), (5,)]),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("bhid,bhjd->bhij", [(2, 2, 3, 4), (2, 2, 5, 4)]),
        ("...ij,...jk->...ik", [(2, 1, 3, 4), (3, 4, 2)]),
        ("...ij,...jk", [(2, 3, 4), (4, 2)]),
        ("...i->...", [(2, 3, 4)]),
        ("i...->...", [(2, 3, 4)]),
        ("b...d,d->b...", [(2, 3, 4, 5), (5,)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
        ("i,ij,j->", [(3,), (3, 4), (4,)]),
        ("bn,anm,bm->ba", [(2, 5), (3, 5, 4), (2, 4)]),
        ("ij,ij->ij", [(3, 4), (3, 4)]),
        ("ij,ik->jk", [(3, 4), (3, 5)]),
        ("ij,kl->", [(2, 3), (2, 2)]),
        ("ij,j->ij", [(3, 4), (4,)]),
        ("Ab,bC->AC", [(2, 3), (3, 2)]),
        (" i j , j k -> i k ", [(2, 3), (3, 2)]),
        ("ij,jk->ik", [(3, 1), (4, 2)]),
        (",i->i", [(), (3,)]),
        ("ij,jk->ik", [(0, 4), (4, 5)]),
        ("ij,jk->ik", [(3, 0), (0, 5)]),
        ("ij,jk->ik", [(3, 4), (5, 2)]),
        ("ij->ijk", [(3, 4)]),
        ("ij,jk->ik", [(3, 4)]),
        ("ijk->ij", [(3, 4)]),
        ("ij->ii", [(3, 4)]),
    ]:
        r.case(equation=equation, operands=[floats(*shape) for shape in shapes],
               tags=["empty"] if any(0 in shape for shape in shapes) else [])
    r = Recorder("tensordot", "torch.tensordot", lambda a, b, dims_self, dims_other:
                 torch.tensordot(a, b, (dims_self, dims_other)), SUMS)
    r.case(a=floats(2, 3, 4), b=floats(4, 3, 2), dims_self=[1, 2], dims_other=[1, 0])
    r.case(a=floats(2, 3), b=floats(4), dims_self=[], dims_other=[])
    r.case(a=floats(2, 3), b=floats(2, 3), dims_self=[0, -1], dims_other=[0, -1])
    r.case(a=floats(2, 3), b=floats(2, 4), dims_self=[1], dims_other=[1])
    r = Recorder("kron", "torch.kron", lambda input, other: torch.kron(input, other), SUMS)
    r.case(input=floats(2, 3), other=floats(2, 2))
    r.case(input=floats(3), other=floats(2, 2))


def divisions():
    inf, nan = float("inf"), float("nan")
    calls = {
        "fmod": ("torch.fmod", torch.fmod),
        "remainder": ("torch.remainder", torch.remainder),
        "floor_divide": ("torch.floor_divide", torch.floor_divide),
        "div_trunc": ("torch.div(rounding_mode='trunc')", lambda input, other: torch.div(input, other, rounding_mode="trunc")),
        "div_floor": ("torch.div(rounding_mode='floor')", lambda input, other: torch.div(input, other, rounding_mode="floor")),
    }
    for name, (torch_name, call) in calls.items():
        r = Recorder(name, torch_name, lambda input, other, call=call: call(input, other), EXACT)
        # PyTorch has no gradient of it.
        constants = {"nondiff": ["input", "other"] if name == "floor_divide" else []}
        away = lambda *shape: (torch.randint(1, 65, shape) * (2 * torch.randint(0, 2, shape) - 1)).float() / 16
        r.case(input=floats(3, 5), other=away(3, 5), **constants)
        r.case(input=floats(3, 5), other=away(5), tags=["broadcast"], **constants)
        r.case(input=floats(3, 1), other=away(2, 1, 4), tags=["broadcast"], **constants)
        r.case(input=floats(7) * 100, other=-0.75, **constants)
        r.case(input=floats(0, 3), other=away(3), tags=["empty"], **constants)
        # Whole quotients, and decimal fractions whose quotients round to whole numbers.
        r.case(input=torch.tensor([6.0, -6.0, 0.7, 0.3, 1.0, -4.5, 0.0]),
               other=torch.tensor([3.0, 3.0, 0.1, 0.1, 0.1, 1.5, -2.0]), **constants)
        large = torch.tensor([1e30, -3e38, 7.5e9, -12345.678, 16777215.0]).reshape(5, 1)
        r.case(input=large, other=torch.tensor([0.3, -1e-20, 3.0, -0.7]), nondiff=["input", "other"], tags=["large"])
        special = torch.tensor([inf, -inf, nan, 0.0, -0.0, 1.5, -1.5])
        r.case(input=special.reshape(7, 1), other=special, nondiff=["input", "other"], tags=["nonfinite", "broadcast"])
        whole = torch.tensor([-7, 7, -6, 0, 2147483647, -2147483647], dtype=torch.int32)
        r.case(input=whole.reshape(6, 1), other=torch.tensor([3, -3, 1, -7, 2147483647], dtype=torch.int32))
        r.case(input=whole, other=-4)
        r.case(input=whole, other=torch.tensor([3, 2, 0, 1, 1, 1], dtype=torch.int32))
        r.case(input=whole, other=0)
        r.case(input=whole[:4], other=torch.tensor([2.5, -2.5, 0.5, 4.0]), **constants)
        r.case(input=floats(2, 3), other=away(2), **constants)


arrangements()
order()
by_index()
python_index()
products()
divisions()
folder = sys.argv[1]
for name, operation in OPERATIONS.items():
    save_file(operation.pop("tensors"), f"{folder}/ops/{name}.safetensors")
with open(f"{folder}/more.json", "w") as file:
    rows = [f"{json.dumps(name)}: {json.dumps(operation, separators=(',', ':'))}" for name, operation in OPERATIONS.items()]
    file.write("{\n" + ",\n".join(rows) + "\n}\n")
print({name: len(operation["cases"]) for name, operation in OPERATIONS.items()})
