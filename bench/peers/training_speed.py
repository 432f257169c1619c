#!/usr/bin/python3
"""Training steps of the same models in Parley and in PyTorch on one thread: training_speed.py --nn_bench=PROGRAM

For each model a process of its own runs forward and backward of the same batch, in turn in Parley (nn_bench's case
train/MODEL) and in PyTorch, some rounds; the best of each counts. Prints one JSON line a model: samples/s, which are a
text's tokens for the transformer, by processor time; how much the process's memory rose at most, in MiB, over what it
was before the model was made; and Parley's figures divided by PyTorch's.

Needs torch (CPU is enough) in the Python that runs it, and nn_bench: bazel build //bench:nn_bench.
PyTorch's convolutions run in the faster of its two layouts, which is measured too.
"""

import argparse
import json
import subprocess
import sys
import time

MODELS = ("mlp", "cnn", "resnet18", "transformer")


def memory(field):
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field + ":"))


def new_model(name):
    """The model, its inputs and labels; as in nn/models/."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self, stride, inputs, outputs):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
                nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
            self.shortcut = nn.Identity()
            if stride != 1 or inputs != outputs:
                self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, x):
            return F.relu(self.body(x) + self.shortcut(x))

    class Attention(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

        def forward(self, x):
            batch, time_, width = x.shape
            split = lambda y: y.reshape(batch, time_, self.heads, -1).transpose(1, 2)
            mixed = F.scaled_dot_product_attention(
                split(self.query(x)), split(self.key(x)), split(self.value(x)), is_causal=True)
            return self.output(mixed.transpose(1, 2).reshape(batch, time_, width))

    class Transformer(nn.Module):
        def __init__(self, vocabulary, time_, width, heads, layers):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, width)
            self.positions = nn.Parameter(torch.randn(time_, width) * 0.02)
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers + 1))
            self.attention = nn.ModuleList(Attention(width, heads) for _ in range(layers))
            self.dense = nn.ModuleList(
                nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)) for _ in range(layers))
            self.output = nn.Linear(width, vocabulary)

        def forward(self, ids):
            x = self.embedding(ids) + self.positions
            for i, (attention, dense) in enumerate(zip(self.attention, self.dense)):
                x = x + attention(self.norms[2 * i](x))
                x = x + dense(self.norms[2 * i + 1](x))
            return self.output(self.norms[-1](x)).flatten(0, 1)

    if name == "transformer":
        return Transformer(96, 128, 256, 8, 4), torch.arange(8 * 128).reshape(8, 128) * 7 % 96, torch.arange(8 * 128) % 96
    if name == "resnet18":
        layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        inputs = 64
        for width in (64, 128, 256, 512):
            layers += [Block(1 if width == 64 else 2, inputs, width), Block(1, width, width)]
            inputs = width
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
        return nn.Sequential(*layers), torch.randn(32, 3, 32, 32), torch.arange(32) % 10
    labels = torch.arange(64) % 10
    if name == "mlp":
        layers = (nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    else:
        layers = (nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, 1, 1), nn.ReLU(),
                  nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1568, 128), nn.ReLU(), nn.Linear(128, 10))
    return nn.Sequential(*layers), torch.randn(64, 1, 28, 28), labels


def run_torch(name, layout, seconds):
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(1)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # forget the peak
    before = memory("VmRSS")
    torch.manual_seed(1)
    model, inputs, labels = new_model(name)
    if layout == "channels_last":
        model, inputs = model.to(memory_format=torch.channels_last), inputs.to(memory_format=torch.channels_last)

    def step():
        model.zero_grad(set_to_none=True)
        F.cross_entropy(model(inputs), labels).backward()

    for _ in range(3):
        step()
    steps, begin = 0, time.thread_time()
    while time.thread_time() < begin + seconds:
        step()
        steps += 1
    rate = steps * len(labels) / (time.thread_time() - begin)
    print(json.dumps({"figure": rate, "growth_mib": memory("VmHWM") - before}))


def output_of(command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nn_bench", help="the program")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of a run")
    parser.add_argument("--torch_model", help="run this model in PyTorch only")
    parser.add_argument("--layout", default="contiguous", choices=("contiguous", "channels_last"))
    arguments = parser.parse_args()
    if arguments.torch_model:
        run_torch(arguments.torch_model, arguments.layout, arguments.seconds)
        return
    if not arguments.nn_bench:
        parser.error("--nn_bench is wanted")
    for name in arguments.models.split(","):
        layouts = ("contiguous", "channels_last") if name in ("cnn", "resnet18") else ("contiguous",)
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            ours.append(output_of(
                [arguments.nn_bench, f"--benchmark_filter=train/{name}$", f"--benchmark_min_time={arguments.seconds}"]))
            for layout in layouts:
                theirs.append(dict(layout=layout, **output_of(
                    [sys.executable, __file__, f"--torch_model={name}", f"--layout={layout}",
                     f"--seconds={arguments.seconds}"])))
        our = max(ours, key=lambda run: run["figure"])
        their = max(theirs, key=lambda run: run["figure"])
        print(json.dumps({
            "benchmark": "training_speed", "case": name, "figure": round(our["figure"], 1), "unit": "samples/s",
            "peer_name": "torch " + their["layout"], "peer": round(their["figure"], 1),
            "ratio": round(our["figure"] / their["figure"], 3), "growth_mib": round(our["growth_mib"], 1),
            "peer_growth_mib": round(their["growth_mib"], 1),
            "growth_ratio": round(our["growth_mib"] / their["growth_mib"], 3)}), flush=True)


if __name__ == "__main__":
    main()
