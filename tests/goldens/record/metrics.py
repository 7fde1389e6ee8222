"""Records torchmetrics' values: `python metrics.py ../data/metrics.json`.

Each case: the batches that it is updated with (scores, labels and their shapes), and for every metric its value after all
of them. Scores are exact in float32 and given as JSON numbers.
"""

import json
import sys
import warnings

import torch
import torchmetrics.classification as C
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError
from torchmetrics.text import Perplexity

warnings.filterwarnings("ignore")
torch.manual_seed(0)
cases = []


def case(name, batches, metrics):
    values = {}
    for label, metric in metrics.items():
        for preds, target in batches:
            metric.update(preds, target)
        values[label] = metric.compute().tolist()
    rows = []
    for preds, target in batches:
        rows.append({
            "preds": preds.flatten().tolist(), "shape": list(preds.shape), "scores": preds.is_floating_point(),
            "target": target.flatten().tolist(), "target_shape": list(target.shape),
        })
    cases.append({"name": name, "batches": rows, "values": values})


def multiclass(classes, ignore_index=None, scores=True):
    own = {"num_classes": classes, "ignore_index": ignore_index, "validate_args": False}
    metrics = {"confusion": C.MulticlassConfusionMatrix(**own)}
    for by in ["true", "pred", "all"]:
        metrics[f"confusion.{by}"] = C.MulticlassConfusionMatrix(normalize=by, **own)
    for name, kind in [("accuracy", C.MulticlassAccuracy), ("precision", C.MulticlassPrecision),
                       ("recall", C.MulticlassRecall), ("f1", C.MulticlassF1Score)]:
        for average in ["micro", "macro", "weighted", "none"]:
            metrics[f"{name}.{average}"] = kind(average=average, **own)
    if scores:
        for average in ["macro", "weighted", "none"]:
            metrics[f"auroc.{average}"] = C.MulticlassAUROC(average=average, **own)
        for average in ["micro", "macro", "weighted", "none"]:
            metrics[f"accuracy.{average}.top2"] = C.MulticlassAccuracy(average=average, top_k=2, **own)
    for name, kind in [("precision", C.MulticlassPrecision), ("recall", C.MulticlassRecall), ("f1", C.MulticlassF1Score)]:
        metrics[f"{name}.macro.one"] = kind(average="macro", zero_division=1, **own)
        metrics[f"{name}.none.one"] = kind(average="none", zero_division=1, **own)
    return metrics


def binary(ignore_index=None, threshold=0.5, scores=True):
    own = {"ignore_index": ignore_index, "validate_args": False}
    metrics = {"confusion": C.BinaryConfusionMatrix(threshold=threshold, **own)}
    for name, kind in [("accuracy", C.BinaryAccuracy), ("precision", C.BinaryPrecision),
                       ("recall", C.BinaryRecall), ("f1", C.BinaryF1Score)]:
        metrics[f"{name}.micro"] = kind(threshold=threshold, **own)
    if scores:
        metrics["auroc.macro"] = C.BinaryAUROC(**own)
    return metrics


def logits(*shape):
    # Steps of 1/16, so that there are ties, but none for the highest score of a sample.
    x = torch.randint(-48, 48, shape).float() / 16
    return x + torch.arange(shape[1]).reshape([1, -1] + [1] * (len(shape) - 2)) / 128


def labels(classes, *shape):
    return torch.randint(0, classes, shape)


case("multiclass", [(logits(n, 5), labels(5, n)) for n in [7, 16, 1]], multiclass(5))
case("probabilities", [(logits(n, 4).softmax(1), labels(4, n)) for n in [9, 12]], multiclass(4))
# Class 2 has samples and is never predicted, 3 is predicted and has none, 4 and 5 occur nowhere.
holes = [(torch.tensor([0, 3, 1, 1, 3, 0]), torch.tensor([0, 0, 1, 2, 2, 1]))]
case("holes", holes, multiclass(6, scores=False))
near = torch.arange(6) / 128
case("holes_scores", [(torch.nn.functional.one_hot(p, 6) * 3 - 0.5 + near, t) for p, t in holes], multiclass(6))
case("ignored", [(logits(n, 3), torch.where(labels(4, n) == 0, -1, labels(3, n))) for n in [8, 5]], multiclass(3, -1))
case("ignored_class", [(logits(20, 3), labels(3, 20))], multiclass(3, 1, scores=False))
case("pictures", [(logits(2, 3, 4, 5), labels(3, 2, 4, 5)), (logits(1, 3, 2, 3), labels(3, 1, 2, 3))], multiclass(3))
case("binary", [(torch.rand(n).mul(16).round() / 16, labels(2, n)) for n in [10, 21]], binary())
case("binary_logits", [(torch.randn(n).mul(64).round() / 16, labels(2, n)) for n in [10, 21]], binary(threshold=0.3))
case("binary_ignored", [(torch.rand(30), torch.where(labels(3, 30) == 0, -1, labels(2, 30)))], binary(-1))
case("binary_classes", [(labels(2, 30), labels(2, 30))], binary(scores=False))
case("binary_one_sided", [(torch.rand(6), torch.ones(6, dtype=torch.long))], binary())
for shape in [(6,), (4, 3)]:
    pairs = [(torch.randn(shape), torch.randn(shape)) for _ in range(3)]
    case(f"regression_{len(shape)}", pairs, {
        "mse": MeanSquaredError(), "rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError(),
    })
words = [(torch.randn(2, n, 7), labels(7, 2, n)) for n in [5, 3]]
case("perplexity", words, {"perplexity": Perplexity()})
case("perplexity_ignored", [(x, torch.where(t == 3, -100, t)) for x, t in words], {
    "perplexity": Perplexity(ignore_index=-100)
})
with open(sys.argv[1], "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
