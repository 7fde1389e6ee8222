"""Records files of torch.save: `python pt.py ../data/pt`."""

import sys
from collections import defaultdict
from pathlib import Path

import torch

folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)
matrix = torch.arange(6, dtype=torch.float32).view(2, 3)
torch.save({
    "f32": matrix,
    "transposed": matrix.t(),
    "part": matrix[1, 1:],
    "f64": torch.tensor([0.5], dtype=torch.float64),
    "f16": torch.tensor([-1.5], dtype=torch.float16),
    "bf16": torch.tensor([3.0], dtype=torch.bfloat16),
    "i64": torch.tensor([-7]),
    "u8": torch.tensor([250], dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "scalar": torch.tensor(42.0),
    "empty": torch.zeros(0, 3),
    "parameter": torch.nn.Parameter(torch.tensor([8.0, 9.0])),
}, folder / "state.pt")

model = torch.nn.Linear(3, 2)
model.bias.data = torch.tensor([0.25, -0.25])
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
model(torch.ones(1, 3)).sum().backward()
optimizer.step()
model.bias.data = torch.tensor([0.25, -0.25])
torch.save({
    "epoch": 3, "loss": 0.125, "done": False, "name": "linear", "big": 1 << 80, "history": [0.5, None, {"lr": 1e-3}],
    "model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state(),
}, folder / "checkpoint.pt")

# Tensors with attributes of the program's own are made by other functions.
parameter, plain = torch.nn.Parameter(torch.tensor([1.0, 2.0])), torch.tensor([3.0])
parameter.tag, plain.tag = "own", "own"
torch.save({"parameter": parameter, "plain": plain, "rest": defaultdict(list, {"a": torch.tensor([4.0])})},
           folder / "attributes.pt")
torch.save({"negated": torch.tensor([1 - 2j]).conj().imag}, folder / "negated.pt")
torch.save({"sparse": torch.eye(2).to_sparse(), "dense": torch.ones(1)}, folder / "sparse.pt")
