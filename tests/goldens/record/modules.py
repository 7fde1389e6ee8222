"""Records whole modules with PyTorch: weights, inputs, outputs and gradients, for ../modules.rs.

    python tests/goldens/record/modules.py

Everything is computed in float64 on values that float32 holds exactly, and rounded to float32. A tensor's name is its case,
then `state.NAME` (a parameter, under its name in the state_dict), `in.NAME`, `out.NUMBER`, `upstream.NUMBER`, or
`grad.in.NAME` and `grad.state.NAME`.
"""

import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
# The modules are meant as written, not as a fused shortcut.
torch.backends.mha.set_fastpath_enabled(False)

recorded = {}


def exact(tensor):
    """The nearest values that float32 holds."""
    return tensor.detach().float().double()


def record(case, module, inputs, call, constants=()):
    """`call` gets the module and the inputs by name, and gives a list of outputs."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            # Biases and norms start from values that would hide mistakes.
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            parameter.copy_(exact(parameter))
    leaves = {}
    for name, tensor in inputs.items():
        differentiable = tensor.is_floating_point() and name not in constants
        leaves[name] = exact(tensor).requires_grad_() if differentiable else tensor
    outputs = call(module, leaves)
    upstream = [exact(torch.randn_like(output)) for output in outputs]
    torch.autograd.backward(outputs, upstream)
    keep = lambda name, tensor: recorded.__setitem__(f"{case}.{name}", tensor.detach().clone().contiguous())
    for name, parameter in module.named_parameters():
        keep(f"state.{name}", parameter)
        keep(f"grad.state.{name}", parameter.grad)
    for name, leaf in leaves.items():
        keep(f"in.{name}", leaf)
        if leaf.requires_grad:
            keep(f"grad.in.{name}", leaf.grad)
    for number, (output, gradient) in enumerate(zip(outputs, upstream)):
        keep(f"out.{number}", output)
        keep(f"upstream.{number}", gradient)


def packed(module, inputs, state):
    sequence = pack_padded_sequence(inputs["x"], torch.tensor([3, 5, 1, 5]), batch_first=True, enforce_sorted=False)
    output, last = module(sequence, state)
    output, _ = pad_packed_sequence(output, batch_first=True)
    return [output, *(last if isinstance(last, tuple) else (last,))]


options = {"num_layers": 2, "bidirectional": True, "batch_first": True}
states = lambda: torch.randn(4, 4, 5)
x = lambda: torch.randn(4, 5, 3)
record(
    "lstm_packed",
    nn.LSTM(3, 5, **options),
    {"x": x(), "h": states(), "c": states()},
    lambda module, given: packed(module, given, (given["h"], given["c"])),
)
record(
    "gru_packed",
    nn.GRU(3, 5, **options),
    {"x": x(), "h": states()},
    lambda module, given: packed(module, given, given["h"]),
)
record("rnn_packed", nn.RNN(3, 5, **options), {"x": x()}, lambda module, given: packed(module, given, None))
record(
    "lstm_unbatched",
    nn.LSTM(3, 4, bias=False),
    {"x": torch.randn(6, 3)},
    lambda module, given: [*(lambda y, last: (y, *last))(*module(given["x"]))],
)
for name, cell in [("lstm_cell", nn.LSTMCell(3, 4)), ("gru_cell", nn.GRUCell(3, 4)), ("rnn_cell", nn.RNNCell(3, 4, nonlinearity="relu"))]:
    given = {"x": torch.randn(2, 3), "h": torch.randn(2, 4)}
    if name == "lstm_cell":
        given["c"] = torch.randn(2, 4)
        record(name, cell, given, lambda module, given: list(module(given["x"], (given["h"], given["c"]))))
    else:
        record(name, cell, given, lambda module, given: [module(given["x"], given["h"])])

record(
    "mha_weights",
    nn.MultiheadAttention(8, 2),
    {"x": torch.randn(5, 3, 8), "padding": torch.tensor([[0, 0, 0, 0, 1], [0] * 5, [0, 0, 0, 1, 1]]).bool()},
    lambda module, given: list(module(given["x"], given["x"], given["x"], key_padding_mask=given["padding"])),
)
record(
    "mha_each_head",
    nn.MultiheadAttention(8, 4, batch_first=True),
    {"q": torch.randn(2, 3, 8), "k": torch.randn(2, 5, 8), "mask": torch.randn(8, 3, 5)},
    lambda module, given: list(
        module(given["q"], given["k"], given["k"], attn_mask=given["mask"], average_attn_weights=False)
    ),
    constants=["mask"],
)
record(
    "mha_sizes",
    nn.MultiheadAttention(8, 2, kdim=6, vdim=3, batch_first=True),
    {
        "q": torch.randn(2, 3, 8),
        "k": torch.randn(2, 5, 6),
        "v": torch.randn(2, 5, 3),
        # The second sequence's first query sees nothing.
        "mask": torch.tensor([[0, 1, 0, 0, 1], [0] * 5, [1, 0, 0, 0, 0]]).bool(),
        "padding": torch.tensor([[0] * 5, [1, 0, 1, 1, 0]]).bool(),
    },
    lambda module, given: [
        module(
            given["q"],
            given["k"],
            given["v"],
            attn_mask=given["mask"],
            key_padding_mask=given["padding"],
            need_weights=False,
        )[0]
    ],
)
causal = torch.triu(torch.ones(5, 5), 1).bool()
record(
    "encoder_layer",
    nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0),
    {"x": torch.randn(5, 2, 8), "mask": causal, "padding": torch.tensor([[0] * 5, [0, 0, 0, 1, 1]]).bool()},
    lambda module, given: [module(given["x"], src_mask=given["mask"], src_key_padding_mask=given["padding"])],
)
record(
    "encoder",
    nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 4, 10, dropout=0.0, activation="gelu", norm_first=True, batch_first=True),
        2,
        norm=nn.LayerNorm(8),
        enable_nested_tensor=False,
    ),
    {"x": torch.randn(2, 4, 8)},
    lambda module, given: [module(given["x"])],
)
record(
    "encoder_causal",
    nn.TransformerEncoderLayer(8, 2, 10, dropout=0.0, bias=False, batch_first=True),
    {"x": torch.randn(4, 8), "mask": torch.triu(torch.ones(4, 4), 1).bool()},
    lambda module, given: [module(given["x"], src_mask=given["mask"], is_causal=True)],
)
record(
    "shared_heads",
    nn.Identity(),
    {"q": torch.randn(2, 4, 3, 5), "k": torch.randn(2, 2, 6, 5), "v": torch.randn(2, 2, 6, 4), "mask": torch.randn(4, 3, 6)},
    lambda module, given: [
        nn.functional.scaled_dot_product_attention(
            given["q"], given["k"], given["v"], attn_mask=given["mask"], scale=0.4, enable_gqa=True
        )
    ],
)

# Recorded last, so that the numbers of the others stay.
record(
    "mha_bias_kv",
    nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True),
    {
        "q": torch.randn(3, 2, 8),
        "k": torch.randn(5, 2, 8),
        # The first query sees what was added only.
        "mask": torch.tensor([[1] * 5, [0] * 5, [1, 0, 0, 0, 0]]).bool(),
        "padding": torch.tensor([[0] * 5, [0, 0, 1, 1, 0]]).bool(),
    },
    lambda module, given: list(
        module(given["q"], given["k"], given["k"], attn_mask=given["mask"], key_padding_mask=given["padding"])
    ),
)
record(
    "mha_zero_attn",
    nn.MultiheadAttention(8, 4, add_zero_attn=True, batch_first=True),
    {"q": torch.randn(2, 3, 8), "k": torch.randn(2, 5, 8), "mask": torch.randn(8, 3, 5)},
    lambda module, given: [module(given["q"], given["k"], given["k"], attn_mask=given["mask"], need_weights=False)[0]],
    constants=["mask"],
)
record(
    "mha_bias_kv_causal",
    nn.MultiheadAttention(8, 2, add_bias_kv=True, bias=False, kdim=3, batch_first=True),
    {"q": torch.randn(4, 8), "k": torch.randn(4, 3), "v": torch.randn(4, 8), "mask": torch.triu(torch.ones(4, 4), 1).bool()},
    lambda module, given: [module(given["q"], given["k"], given["v"], attn_mask=given["mask"], need_weights=False)[0]],
)
record(
    "lstm_padding",
    nn.LSTM(3, 4, batch_first=True),
    {"x": torch.randn(4, 5, 3)},
    lambda module, given: [
        pad_packed_sequence(
            module(pack_padded_sequence(given["x"], torch.tensor([3, 4, 1, 2]), batch_first=True, enforce_sorted=False))[0],
            padding_value=-2.5,
            total_length=6,
        )[0]
    ],
)
record(
    "packed_alone",
    nn.Identity(),
    {"x": torch.randn(5, 3, 2)},
    lambda module, given: [
        pad_packed_sequence(
            pack_padded_sequence(given["x"], torch.tensor([4, 4, 1])), batch_first=True, padding_value=0.5
        )[0]
    ],
)

path = pathlib.Path(__file__).parent.parent / "data" / "modules.safetensors"
tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in recorded.items()}
save_file(tensors, path, metadata={"torch": torch.__version__.split("+")[0]})
print(f"{len(tensors)} tensors, {path.stat().st_size} bytes")
