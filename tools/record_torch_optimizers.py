#!/usr/bin/env python3
"""Records what PyTorch's optimizers and learning-rate schedules do, and for what it lacks the papers' formulas, for ps/optimizer_recorded_test.cc and
ps/schedule_test.cc.

Needs torch (of PyPI, for the CPU) and numpy. Run from the root of the workspace:

    python3 tools/record_torch_optimizers.py

It writes ps/recorded/optimizers.txt and ps/recorded/schedules.txt. PyTorch computes in float64, with hyperparameters
rounded to float32 as a job's spec holds them, so that the recordings are what the formulas give.
"""

import numpy as np
import torch

ELEMENTS = 12
STEPS = 200
SHOWN = (1, 2, 10, 50, 200)  # steps whose parameters are recorded
SCHEDULED = 48  # updates whose factors are recorded


def f32(value):
    return float(np.float32(value))


class Numbers:
    """The same numbers as class Numbers of the tests: a linear congruential generator, of which 24 bits are used."""

    def __init__(self):
        self.state = 1

    def next(self):
        """In [-1, 1), exact in float32."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 40) / 2**23 - 1


class Lamb(torch.optim.Optimizer):
    """You et al., 2020, algorithm 2, with the identity as phi."""

    def __init__(self, params, lr, betas=(f32(0.9), f32(0.999)), eps=f32(1e-6), weight_decay=0.0):
        super().__init__(params, {"lr": lr})
        self.betas, self.eps, self.weight_decay, self.t, self.m, self.v = betas, eps, weight_decay, 0, 0, 0

    def step(self):
        (group,) = self.param_groups
        (p,) = group["params"]
        (beta1, beta2), g = self.betas, p.grad
        self.t += 1
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = beta2 * self.v + (1 - beta2) * g * g
        r = self.m / (1 - beta1**self.t) / (torch.sqrt(self.v / (1 - beta2**self.t)) + self.eps)
        with torch.no_grad():
            r += self.weight_decay * p
            p -= group["lr"] * (p.norm() / r.norm()) * r


class Lars(torch.optim.Optimizer):
    """You, Gitman and Ginsburg, 2017, algorithm 1."""

    def __init__(self, params, lr, momentum=0.0, weight_decay=0.0, coefficient=f32(0.001)):
        super().__init__(params, {"lr": lr})
        self.momentum, self.weight_decay, self.coefficient, self.v = momentum, weight_decay, coefficient, 0

    def step(self):
        (group,) = self.param_groups
        (p,) = group["params"]
        g = p.grad
        with torch.no_grad():
            trust = self.coefficient * p.norm() / (g.norm() + self.weight_decay * p.norm())
            self.v = self.momentum * self.v + group["lr"] * trust * (g + self.weight_decay * p)
            p -= self.v


def run(spec, make, clip=None, accumulate=1, schedule=None, clip_norm=None, ema=None, l2=0.0):
    """With `ema` the moving average is recorded in the parameter's place."""
    numbers = Numbers()
    parameter = torch.tensor([2 * numbers.next() for _ in range(ELEMENTS)], dtype=torch.float64, requires_grad=True)
    optimizer = make([parameter])
    scheduler = schedule(optimizer) if schedule else None
    average = None
    if ema:
        average = torch.optim.swa_utils.AveragedModel(
            torch.nn.ParameterList([parameter]), multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(ema)
        )
        average.update_parameters(torch.nn.ParameterList([parameter]))  # it begins as the first values
    lines = [f"case {spec}"]
    total = torch.zeros(ELEMENTS, dtype=torch.float64)
    for step in range(1, STEPS + 1):
        # Elements see gradients of different sizes: 2^-4 to 2^7.
        total += torch.tensor([numbers.next() * 2.0 ** (i - 4) for i in range(ELEMENTS)], dtype=torch.float64)
        if step % accumulate == 0:
            parameter.grad = total / accumulate
            if clip_norm:
                torch.nn.utils.clip_grad_norm_([parameter], clip_norm)
            if clip:
                torch.nn.utils.clip_grad_value_([parameter], clip)
            if l2:
                parameter.grad += l2 * parameter.detach()
            optimizer.step()
            if average:
                average.update_parameters(torch.nn.ParameterList([parameter]))
            if scheduler:
                scheduler.step()
            total = torch.zeros(ELEMENTS, dtype=torch.float64)
        if step in SHOWN:
            shown = next(average.parameters()) if average else parameter
            lines.append(f"{step} " + " ".join(f"{value:.9g}" for value in shown.detach().tolist()))
    return lines


def optimizers():
    optim, lr_scheduler = torch.optim, torch.optim.lr_scheduler
    lr, rate = f32(0.01), "learning_rate: 0.01"
    small, rho = f32(0.001), f32(0.95)
    wd = f32(0.1)
    return [
        run(f"{rate} sgd {{}}", lambda p: optim.SGD(p, lr)),
        run(f"{rate} sgd {{}} l2: 0.1", lambda p: optim.SGD(p, lr, weight_decay=wd)),
        run(f"{rate} sgd {{}} clip_value: 0.5", lambda p: optim.SGD(p, lr), clip=0.5),
        run(f"{rate} momentum {{ momentum: 0.9 }}", lambda p: optim.SGD(p, lr, momentum=f32(0.9))),
        run(
            f"{rate} momentum {{ momentum: 0.9 nesterov: true }} l2: 0.1",
            lambda p: optim.SGD(p, lr, momentum=f32(0.9), nesterov=True, weight_decay=wd),
        ),
        run(
            f"{rate} momentum {{ momentum: 0.5 nesterov: true }} clip_value: 0.5 accumulate_rounds: 4",
            lambda p: optim.SGD(p, lr, momentum=0.5, nesterov=True),
            clip=0.5,
            accumulate=4,
        ),
        run(f"{rate} adagrad {{}}", lambda p: optim.Adagrad(p, lr, eps=f32(1e-10))),
        run(
            f"{rate} adagrad {{ initial_accumulator: 0.1 rate_decay: 0.01 epsilon: 1e-3 }} l2: 0.1",
            lambda p: optim.Adagrad(
                p, lr, lr_decay=lr, weight_decay=wd, initial_accumulator_value=f32(0.1), eps=f32(1e-3)
            ),
        ),
        run("learning_rate: 1 adadelta {}", lambda p: optim.Adadelta(p, 1.0, rho=f32(0.9), eps=f32(1e-6))),
        run(
            "learning_rate: 0.5 adadelta { rho: 0.95 epsilon: 1e-4 } l2: 0.1",
            lambda p: optim.Adadelta(p, 0.5, rho=rho, eps=f32(1e-4), weight_decay=wd),
        ),
        run(f"{rate} rmsprop {{}}", lambda p: optim.RMSprop(p, lr, alpha=f32(0.99), eps=f32(1e-8))),
        run(
            f"{rate} rmsprop {{ centered: true }} l2: 0.1",
            lambda p: optim.RMSprop(p, lr, alpha=f32(0.99), eps=f32(1e-8), centered=True, weight_decay=wd),
        ),
        run(
            "learning_rate: 0.001 rmsprop { alpha: 0.95 epsilon: 1e-3 momentum: 0.9 }",
            lambda p: optim.RMSprop(p, small, alpha=rho, eps=small, momentum=f32(0.9)),
        ),
        run(
            "learning_rate: 0.001 rmsprop { momentum: 0.9 centered: true }",
            lambda p: optim.RMSprop(p, small, alpha=f32(0.99), eps=f32(1e-8), momentum=f32(0.9), centered=True),
        ),
        run(f"{rate} adam {{}}", lambda p: optim.Adam(p, lr, betas=(f32(0.9), f32(0.999)), eps=f32(1e-8))),
        run(
            f"{rate} adam {{ beta1: 0.8 beta2: 0.95 epsilon: 1e-3 }} l2: 0.1",
            lambda p: optim.Adam(p, lr, betas=(f32(0.8), rho), eps=small, weight_decay=wd),
        ),
        run(
            f"{rate} adam {{ amsgrad: true }}",
            lambda p: optim.Adam(p, lr, betas=(f32(0.9), f32(0.999)), eps=f32(1e-8), amsgrad=True),
        ),
        run(
            f"{rate} adam {{ beta2: 0.95 amsgrad: true }} l2: 0.1",
            lambda p: optim.Adam(p, lr, betas=(f32(0.9), rho), eps=f32(1e-8), amsgrad=True, weight_decay=wd),
        ),
        run(
            f"{rate} adam {{}} weight_decay: 0.1",
            lambda p: optim.AdamW(p, lr, betas=(f32(0.9), f32(0.999)), eps=f32(1e-8), weight_decay=wd),
        ),
        run(
            f"{rate} adam {{ beta2: 0.95 amsgrad: true }} weight_decay: 0.1 clip_value: 0.5",
            lambda p: optim.AdamW(p, lr, betas=(f32(0.9), rho), eps=f32(1e-8), weight_decay=wd, amsgrad=True),
            clip=0.5,
        ),
        run(
            f"{rate} adam {{}} weight_decay: 0.1 accumulate_rounds: 5 "
            "schedule { cosine { updates: 30 end: 0.125 } }",
            lambda p: optim.AdamW(p, lr, betas=(f32(0.9), f32(0.999)), eps=f32(1e-8), weight_decay=wd),
            accumulate=5,
            schedule=lambda o: lr_scheduler.LambdaLR(
                o, lambda u: 0.125 + 0.875 * (1 + np.cos(np.pi * min(u, 30) / 30)) / 2
            ),
        ),
        run(f"{rate} adamax {{}}", lambda p: optim.Adamax(p, lr, betas=(f32(0.9), f32(0.999)), eps=f32(1e-8))),
        run(
            f"{rate} adamax {{ beta1: 0.8 beta2: 0.95 epsilon: 1e-3 }} l2: 0.1",
            lambda p: optim.Adamax(p, lr, betas=(f32(0.8), rho), eps=small, weight_decay=wd),
        ),
        run(
            f"{rate} nadam {{}}",
            lambda p: optim.NAdam(
                p, lr, betas=(f32(0.9), f32(0.999)), eps=f32(1e-8), momentum_decay=f32(0.004)
            ),
        ),
        run(
            f"{rate} nadam {{ beta1: 0.8 beta2: 0.95 epsilon: 1e-3 momentum_decay: 0.1 }} l2: 0.1",
            lambda p: optim.NAdam(
                p, lr, betas=(f32(0.8), rho), eps=small, momentum_decay=f32(0.1), weight_decay=wd
            ),
        ),
        run(
            f"{rate} nadam {{}} weight_decay: 0.1",
            lambda p: optim.NAdam(
                p,
                lr,
                betas=(f32(0.9), f32(0.999)),
                eps=f32(1e-8),
                momentum_decay=f32(0.004),
                weight_decay=wd,
                decoupled_weight_decay=True,
            ),
        ),
        run(
            f"{rate} momentum {{ momentum: 0.9 }} schedule {{ step {{ every: 30 gamma: 0.5 }} }}",
            lambda p: optim.SGD(p, lr, momentum=f32(0.9)),
            schedule=lambda o: lr_scheduler.StepLR(o, 30, 0.5),
        ),
        run(f"{rate} sgd {{}} ema_decay: 0.9", lambda p: optim.SGD(p, lr), ema=f32(0.9)),
        run(
            f"{rate} adam {{}} weight_decay: 0.1 accumulate_rounds: 4 ema_decay: 0.75",
            lambda p: optim.AdamW(p, lr, betas=(f32(0.9), f32(0.999)), eps=f32(1e-8), weight_decay=wd),
            accumulate=4,
            ema=0.75,
        ),
        run(f"{rate} sgd {{}} clip_norm: 2", lambda p: optim.SGD(p, lr), clip_norm=2.0),
        run(
            f"{rate} adam {{}} weight_decay: 0.1 clip_norm: 2 ema_decay: 0.9",
            lambda p: optim.AdamW(p, lr, betas=(f32(0.9), f32(0.999)), eps=f32(1e-8), weight_decay=wd),
            clip_norm=2.0,
            ema=f32(0.9),
        ),
        run(
            f"{rate} momentum {{ momentum: 0.9 nesterov: true }} l2: 0.1 clip_norm: 50 clip_value: 0.5 "
            "accumulate_rounds: 2 schedule { step { every: 30 gamma: 0.5 } }",
            lambda p: optim.SGD(p, lr, momentum=f32(0.9), nesterov=True, weight_decay=wd),
            clip_norm=50.0,
            clip=0.5,
            accumulate=2,
            schedule=lambda o: lr_scheduler.StepLR(o, 30, 0.5),
        ),
        run(f"{rate} lamb {{}}", lambda p: Lamb(p, lr)),
        run(
            f"{rate} lamb {{ beta1: 0.8 beta2: 0.95 epsilon: 1e-3 weight_decay: 0.1 }}",
            lambda p: Lamb(p, lr, (f32(0.8), rho), small, wd),
        ),
        run(
            f"{rate} lamb {{ weight_decay: 0.1 }} clip_value: 0.5 l2: 0.1 accumulate_rounds: 4 "
            "schedule { step { every: 30 gamma: 0.5 } }",
            lambda p: Lamb(p, lr, weight_decay=wd),
            clip=0.5,
            l2=wd,
            accumulate=4,
            schedule=lambda o: lr_scheduler.StepLR(o, 30, 0.5),
        ),
        run("learning_rate: 1 lars {}", lambda p: Lars(p, 1.0)),
        run(
            "learning_rate: 1 lars { momentum: 0.9 weight_decay: 0.1 coefficient: 0.01 }",
            lambda p: Lars(p, 1.0, f32(0.9), wd, lr),
        ),
        run(
            "learning_rate: 1 lars { momentum: 0.9 weight_decay: 0.1 } clip_value: 0.5 ema_decay: 0.9 "
            "schedule { step { every: 30 gamma: 0.5 } }",
            lambda p: Lars(p, 1.0, f32(0.9), wd),
            clip=0.5,
            ema=f32(0.9),
            schedule=lambda o: lr_scheduler.StepLR(o, 30, 0.5),
        ),
    ]


def rates(spec, make, updates=SCHEDULED):
    optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64, requires_grad=True)], 1.0)
    scheduler = make(optimizer)
    factors = []
    for update in range(1, updates + 1):
        factors.append(f"{optimizer.param_groups[0]['lr']:.17g}")
        optimizer.step()
        if update < updates:
            scheduler.step()
    return [f"case {spec}", " ".join(factors)]


def warm(optimizer, start, updates, then):
    scheduler = torch.optim.lr_scheduler
    warmup = scheduler.LinearLR(optimizer, start_factor=start, total_iters=updates)
    return scheduler.SequentialLR(optimizer, [warmup, then(optimizer)], milestones=[updates])


def schedules():
    s = torch.optim.lr_scheduler
    tenth = f32(0.1)
    return [
        rates("step { every: 7 gamma: 0.1 }", lambda o: s.StepLR(o, 7, tenth)),
        rates("exponential { gamma: 0.9 }", lambda o: s.ExponentialLR(o, f32(0.9))),
        rates("polynomial { updates: 40 }", lambda o: s.PolynomialLR(o, 40, 1.0)),
        rates("polynomial { updates: 40 power: 0.9 }", lambda o: s.PolynomialLR(o, 40, f32(0.9))),
        rates("polynomial { updates: 30 power: 2.25 }", lambda o: s.PolynomialLR(o, 30, 2.25)),
        rates(
            "cosine { updates: 47 end: 0.1 }", lambda o: s.CosineAnnealingLR(o, 47, eta_min=tenth)
        ),
        rates(
            "cosine { updates: 11 end: 0.1 period_factor: 1 }",
            lambda o: s.CosineAnnealingWarmRestarts(o, 11, eta_min=tenth),
        ),
        rates(
            "cosine { updates: 5 period_factor: 2 }", lambda o: s.CosineAnnealingWarmRestarts(o, 5, T_mult=2)
        ),
        rates(
            "one_cycle { updates: 40 }",
            lambda o: s.OneCycleLR(o, 1.0, 40, pct_start=f32(0.3), cycle_momentum=False),
            updates=40,
        ),
        rates(
            "one_cycle { updates: 30 rising: 0.4 start_divisor: 10 end_divisor: 100 linear: true }",
            lambda o: s.OneCycleLR(
                o,
                1.0,
                30,
                pct_start=f32(0.4),
                anneal_strategy="linear",
                div_factor=10,
                final_div_factor=100,
                cycle_momentum=False,
            ),
            updates=30,
        ),
        rates(
            "warmup_updates: 10 warmup_start: 0.1",
            lambda o: s.LinearLR(o, start_factor=tenth, total_iters=10),
        ),
        rates(
            "warmup_updates: 8 warmup_start: 0.25 step { every: 9 gamma: 0.5 }",
            lambda o: warm(o, 0.25, 8, lambda p: s.StepLR(p, 9, 0.5)),
        ),
        rates(
            "warmup_updates: 8 warmup_start: 0.25 cosine { updates: 40 }",
            lambda o: warm(o, 0.25, 8, lambda p: s.CosineAnnealingLR(p, 40)),
        ),
    ]


def write(path, what, cases):
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"# {what}, by PyTorch {torch.__version__}; written by tools/record_torch_optimizers.py\n")
        for lines in cases:
            file.write("\n".join(lines) + "\n")


def main():
    write("ps/recorded/optimizers.txt", "Parameters after some of 200 steps", optimizers())
    write("ps/recorded/schedules.txt", "Learning rates of updates 1, 2, ... with 1 as the declared one", schedules())


if __name__ == "__main__":
    main()
