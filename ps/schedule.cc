#include "ps/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ps/power.h"

namespace parley {
namespace {

constexpr double kPi = 3.14159265358979323846;

// The sum over n of (-1)^n x^(first + 2n) / (first + 2n)!, for 0 <= x <= pi / 4: the cosine with
// first = 0, the sine with first = 1. The first term left out is below 2^-60.
double TaylorSum(double x, int first) {
  double term = first == 0 ? 1 : x;
  double sum = term;
  for (int n = first; n < first + 16; n += 2) {
    term *= -(x * x) / ((n + 1) * (n + 2));
    sum += term;
  }
  return sum;
}

// cos(pi * x) for 0 <= x <= 1.
double CosineOfPi(double x) {
  if (x > 0.5) return -CosineOfPi(1 - x);
  return x > 0.25 ? TaylorSum(kPi * (0.5 - x), 1) : TaylorSum(kPi * x, 0);
}

// From `begin` to `end` along half a cosine's period; 0 <= x <= 1.
double AlongCosine(double begin, double end, double x) {
  return end + (begin - end) * ((1 + CosineOfPi(x)) / 2);
}

double AlongLine(double begin, double end, double x) { return begin + (end - begin) * x; }

double StepFactor(const v1::Schedule::Step& step, int64_t u) {
  return IntegerPower(step.gamma(), u / step.every());
}

double PolynomialFactor(const v1::Schedule::Polynomial& polynomial, int64_t u) {
  const double end = polynomial.end();
  if (u >= polynomial.updates()) return end;
  const double left = 1 - static_cast<double>(u) / static_cast<double>(polynomial.updates());
  const double power = polynomial.power() == 0 ? 1 : polynomial.power();
  return end + (1 - end) * Power(left, power);
}

double CosineFactor(const v1::Schedule::Cosine& cosine, int64_t u) {
  constexpr int64_t kLongest = std::numeric_limits<int64_t>::max();
  int64_t period = cosine.updates();
  const int64_t factor = cosine.period_factor();
  if (factor == 0 && u >= period) return cosine.end();
  if (factor == 1) u %= period;
  while (u >= period) {  // few turns: each doubles the period at least
    u -= period;
    period = period > kLongest / factor ? kLongest : period * factor;
  }
  return AlongCosine(1, cosine.end(), static_cast<double>(u) / static_cast<double>(period));
}

// As torch.optim.lr_scheduler.OneCycleLR: the peak is at update rising * updates - 1.
double OneCycleFactor(const v1::Schedule::OneCycle& cycle, int64_t u) {
  const double start = 1 / (cycle.start_divisor() == 0 ? 25.0 : cycle.start_divisor());
  const double end = start / (cycle.end_divisor() == 0 ? 10000.0 : cycle.end_divisor());
  const double rising = cycle.rising() == 0 ? 0.3f : cycle.rising();
  const double last = static_cast<double>(cycle.updates() - 1);
  const double peak = rising * static_cast<double>(cycle.updates()) - 1;
  const double at = static_cast<double>(std::min(u, cycle.updates() - 1));
  const auto along = cycle.linear() ? AlongLine : AlongCosine;
  if (peak > 0 && at <= peak) return along(start, 1, at / peak);
  return along(1, end, (at - peak) / (last - peak));
}

}  // namespace

double ScheduleFactor(const v1::Schedule& schedule, int64_t update, double pushed) {
  int64_t u = update - 1;
  if (u < schedule.warmup_updates()) {
    return AlongLine(schedule.warmup_start(), 1,
                     static_cast<double>(u) / static_cast<double>(schedule.warmup_updates()));
  }
  u -= schedule.warmup_updates();
  switch (schedule.kind_case()) {
    case v1::Schedule::kStep:
      return StepFactor(schedule.step(), u);
    case v1::Schedule::kExponential:
      return IntegerPower(schedule.exponential().gamma(), u);
    case v1::Schedule::kPolynomial:
      return PolynomialFactor(schedule.polynomial(), u);
    case v1::Schedule::kCosine:
      return CosineFactor(schedule.cosine(), u);
    case v1::Schedule::kOneCycle:
      return OneCycleFactor(schedule.one_cycle(), u);
    case v1::Schedule::kPushed:
      return pushed;
    case v1::Schedule::KIND_NOT_SET:
      break;
  }
  return 1;
}

}  // namespace parley
