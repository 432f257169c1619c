#!/usr/bin/python3
"""ResNet-18 on Fashion-MNIST in PyTorch and in Parley: resnet18.py --bin=FOLDER [--examples=N ...]

Both train the same network on the same examples with the same batches' size, optimizer, learning rate and number of
epochs, from first values of the same distributions, and test on the same examples; once for each seed. Prints both
accuracies and the difference of their means.

Needs torch and numpy (CPU is enough) in the Python that runs it, and Parley's programs: --bin=bazel-bin, after
"bazel build //deploy:parley //ps:parley_ps //worker:parley_worker".
"""

import argparse
import gzip
import json
import math
import os
import subprocess
import tempfile
import time

import numpy
import torch
from torch import nn
from torch.nn import functional as F


def read_idx(path, dimensions):
    with gzip.open(path) as file:
        data = numpy.frombuffer(file.read(), numpy.uint8)
    header = 4 + 4 * dimensions
    return data[header:].reshape([int.from_bytes(data[4 + 4 * i : 8 + 4 * i].tobytes(), "big") for i in range(dimensions)])


def read(folder, part, count):
    """Images [count, 1, 32, 32] in [0, 1], with a border of zeros, and labels."""
    images = read_idx(f"{folder}/{part}-images-idx3-ubyte.gz", 3)[:count]
    labels = read_idx(f"{folder}/{part}-labels-idx1-ubyte.gz", 1)[:count]
    images = numpy.pad(images, ((0, 0), (2, 2), (2, 2))).astype(numpy.float32) / 255
    return torch.from_numpy(images[:, None]), torch.from_numpy(labels.astype(numpy.int64))


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


class Resnet18(nn.Sequential):
    """nn/models/resnet.cc, layer by layer, with the same first values."""

    def __init__(self):
        layers = [nn.Conv2d(1, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        inputs = 64
        for width in (64, 128, 256, 512):
            layers += [Block(1 if width == 64 else 2, inputs, width), Block(1, width, width)]
            inputs = width
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
        super().__init__(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_in))
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)


def train_torch(options, seed):
    torch.manual_seed(seed)
    torch.set_num_threads(options.threads)
    images, labels = read(options.data_dir, "train", options.examples)
    test_images, test_labels = read(options.data_dir, "t10k", options.test_examples)
    model = Resnet18()
    optimizer = torch.optim.SGD(model.parameters(), options.learning_rate, momentum=0.9)
    began = time.monotonic()
    for _ in range(options.epochs):
        order = torch.randperm(len(labels))
        model.train()
        for begin in range(0, len(labels) - options.batch_size + 1, options.batch_size):
            batch = order[begin : begin + options.batch_size]
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    seconds = time.monotonic() - began
    model.eval()
    with torch.no_grad():
        correct = sum((model(test_images[i : i + 200]).argmax(1) == test_labels[i : i + 200]).sum().item()
                      for i in range(0, len(test_labels), 200))
    return correct / len(test_labels), seconds


def train_parley(options, seed):
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    with tempfile.TemporaryDirectory() as folder:
        summary = os.path.join(folder, "summary.json")
        subprocess.run(
            [f"{options.bin}/deploy/parley", "launch", "--ps=1", "--workers=1", "--", "--model=resnet18",
             f"--data_dir={options.data_dir}", f"--max_train_examples={options.examples}",
             f"--max_test_examples={options.test_examples}", f"--epochs={options.epochs}",
             f"--batch_size={options.batch_size}", "--optimizer=momentum", "--momentum=0.9",
             f"--learning_rate={options.learning_rate}", f"--seed={seed}", "--timeout=30m",
             f"--summary_json={summary}"],
            check=True, stdout=subprocess.DEVNULL, env=environment)
        with open(summary, encoding="utf-8") as file:
            result = json.load(file)
    return result["accuracy"], result["seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="the folder with deploy/parley, ps/parley_ps, worker/parley_worker")
    parser.add_argument("--data_dir", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--examples", type=int, default=3000)
    parser.add_argument("--test_examples", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch_size", type=int, default=50)
    parser.add_argument("--learning_rate", type=float, default=0.02)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(f"ResNet-18, {options.examples} examples, {options.epochs} epochs, batches of {options.batch_size}, "
          f"learning rate {options.learning_rate}, momentum 0.9, torch {torch.__version__}")
    print("| seed | PyTorch | seconds | Parley | seconds |\n|---|---|---|---|---|")
    sums = [0.0, 0.0]
    for seed in range(1, options.seeds + 1):
        results = train_torch(options, seed), train_parley(options, seed)
        sums = [total + accuracy for total, (accuracy, _) in zip(sums, results)]
        cells = " | ".join(f"{100 * accuracy:.2f}% | {seconds:.0f}" for accuracy, seconds in results)
        print(f"| {seed} | {cells} |", flush=True)
    means = [100 * total / options.seeds for total in sums]
    print(f"mean: PyTorch {means[0]:.2f}%, Parley {means[1]:.2f}%, difference {means[1] - means[0]:+.2f} points")


if __name__ == "__main__":
    main()
