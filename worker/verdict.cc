#include "worker/verdict.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace parley {
namespace {

// Of a step; what is less is not worth a flag.
constexpr double kWorthChanging = 0.15;

double Share(absl::Duration part, const StepShares& shares) {
  return shares.whole > absl::ZeroDuration() ? absl::FDivDuration(part, shares.whole) : 0;
}

std::string FormatTime(double seconds) {
  return seconds < 1e-3  ? absl::StrFormat("%.0f us", 1e6 * seconds)
         : seconds < 1.0 ? absl::StrFormat("%.2f ms", 1e3 * seconds)
                         : absl::StrFormat("%.2f s", seconds);
}

std::string FormatAmount(double bytes) {
  return bytes < 1e6   ? absl::StrFormat("%.1f kB", bytes / 1e3)
         : bytes < 1e9 ? absl::StrFormat("%.1f MB", bytes / 1e6)
                       : absl::StrFormat("%.2f GB", bytes / 1e9);
}

// What a step is with nothing but its bytes; 0: it is not known.
double WireBound(const StepShares& shares) {
  return shares.alone_bytes_per_second > 0 ? shares.bytes_per_step / shares.alone_bytes_per_second
                                           : 0;
}

// Whether fewer bytes would be quicker: not where they travel at memory's speed, nor where they
// take a small part of the wire's time though all workers share it.
bool BytesMatter(const StepShares& shares, const JobShape& job) {
  constexpr double kMemorySpeed = 2e9;  // and so 16 bits cost as much to make as they save
  const double wire = absl::ToDoubleSeconds(shares.wire) / static_cast<double>(shares.steps);
  return shares.alone_bytes_per_second < kMemorySpeed &&
         WireBound(shares) * job.workers >= wire / 2;
}

std::string HowToWaitLess(const JobShape& job) {
  if (job.policy == "sync") {
    return absl::StrCat("--replicas_to_aggregate=", std::max(1, job.workers - 1),
                        ", --policy=bounded and async wait less");
  }
  if (job.policy == "bounded") return "a greater --staleness and --policy=async wait less";
  if (job.policy == "local_sgd") return "a greater --exchange_every waits less often";
  return "--policy=async does not wait";
}

absl::Duration Rest(const StepShares& shares) {
  return std::max(absl::ZeroDuration(), shares.whole - shares.compute - shares.wire -
                                            shares.shards - shares.for_workers());
}

}  // namespace

absl::Duration StepShares::for_workers() const {
  absl::Duration sum;
  for (const auto& [worker, waited] : workers) sum += waited;
  return sum;
}

int StepShares::slowest() const {
  int slowest = -1;
  absl::Duration longest;
  for (const auto& [worker, waited] : workers) {
    if (worker < 0 || waited <= longest) continue;
    slowest = worker;
    longest = waited;
  }
  return slowest;
}

void StepShareSum::OnStep(const Progress& progress) {
  const StepTime& time = progress.time;
  bytes_now_ = client_->bytes_pushed() + client_->bytes_pulled();
  if (!warm_) {
    warm_ = true;
    bytes_before_ = bytes_now_;
    return;
  }
  ++sum_.steps;
  sum_.whole += time.whole;
  sum_.compute += time.compute;
  sum_.wire += time.push + time.wait - time.waited.shard - time.waited.workers;
  sum_.shards += time.waited.shard;
  if (time.waited.workers > absl::ZeroDuration()) {
    sum_.workers[time.waited.worker] += time.waited.workers;
  }
}

StepShares StepShareSum::Shares(const TrainingSummary& summary) const {
  StepShares shares = sum_;
  if (shares.steps == 0) return shares;
  shares.bytes_per_step =
      static_cast<double>(bytes_now_ - bytes_before_) / static_cast<double>(shares.steps);
  if (summary.last_pull > absl::ZeroDuration()) {
    shares.alone_bytes_per_second =
        static_cast<double>(summary.last_pull_bytes) / absl::ToDoubleSeconds(summary.last_pull);
  }
  return shares;
}

std::string Advise(const StepShares& shares, const JobShape& job) {
  const double wire = Share(shares.wire, shares);
  const double shard = Share(shares.shards, shares);
  const double workers = Share(shares.for_workers(), shares);
  const double largest = std::max({wire, shard, workers});
  if (largest < kWorthChanging) {
    return Share(shares.compute, shares) >= 0.5
               ? absl::StrCat("computing bounds it: --workers=", job.workers + 1,
                              " shares it out, a faster --device shortens it")
               : std::string("no single part bounds it: --profile shows each step");
  }
  if (workers == largest) {
    const int slowest = shares.slowest();
    const std::string who =
        slowest < 0 ? std::string("other workers") : absl::StrCat("worker:", slowest);
    return absl::StrCat("waiting for ", who,
                        " bounds it, whose own output says why: ", HowToWaitLess(job));
  }
  if (shard == largest) {
    return absl::StrCat("the shards bound it: --ps=", 2 * job.shards, " shares their work out");
  }
  if (shares.alone_bytes_per_second <= 0) {
    return "the wire bounds it, of which the chief's table says more";
  }
  if (!BytesMatter(shares, job)) {
    return job.batch_size > 0
               ? absl::StrCat("messages bound it, more than their bytes: --batch_size=",
                              2 * job.batch_size, " has half as many for a sample")
               : std::string("messages bound it, more than their bytes: fewer, larger steps help");
  }
  if (!job.is_half) {
    return "the wire bounds it: --push_dtype=bfloat16 and --pull_dtype=bfloat16 halve the bytes";
  }
  if (job.batch_size > 0) {
    return absl::StrCat("the wire bounds it: --batch_size=", 2 * job.batch_size,
                        " halves the bytes of a sample");
  }
  return absl::StrCat("the wire bounds it: --ps=", 2 * job.shards,
                      " on other machines have more of it");
}

std::string FormatVerdict(const StepShares& shares, const JobShape& job) {
  if (shares.steps == 0) return "";
  const double step = absl::ToDoubleSeconds(shares.whole) / static_cast<double>(shares.steps);
  std::string lines;
  const auto row = [&](const std::string& name, const std::string& value,
                       const std::string& more = "") {
    absl::StrAppendFormat(&lines, "| %-21s %12s%s\n", name, value, more);
  };
  const auto part = [&](const char* name, absl::Duration time, const std::string& more = "") {
    row(name, absl::StrFormat("%.1f%%", 100 * Share(time, shares)), more);
  };
  row("a step", FormatTime(step), absl::StrCat(", mean of ", shares.steps));
  part("  computing", shares.compute);
  std::string bound;
  if (const double seconds = WireBound(shares); seconds > 0) {
    bound = absl::StrCat("  ", FormatAmount(shares.bytes_per_step), " a step, which take ",
                         FormatTime(seconds), " at the ",
                         FormatAmount(shares.alone_bytes_per_second), "/s of a last pull alone");
  }
  part("  wire", shares.wire, bound);
  part("  shards", shares.shards);
  if (job.workers > 1) {
    std::string who;
    if (const int slowest = shares.slowest(); slowest >= 0) {
      who = absl::StrFormat("  worker:%d %.1f%%", slowest,
                            100 * Share(shares.workers.at(slowest), shares));
    }
    part("  other workers", shares.for_workers(), who);
  }
  part("  the rest", Rest(shares));
  absl::StrAppend(&lines, "| ", Advise(shares, job), "\n");
  return lines;
}

std::string FormatVerdictLine(const StepShares& shares, const JobShape& job) {
  if (shares.steps == 0) return "";
  return absl::StrFormat(
      "a step took %s: computing %.1f%%, wire %.1f%%, shards %.1f%%, other workers %.1f%%; %s",
      FormatTime(absl::ToDoubleSeconds(shares.whole) / static_cast<double>(shares.steps)),
      100 * Share(shares.compute, shares), 100 * Share(shares.wire, shares),
      100 * Share(shares.shards, shares), 100 * Share(shares.for_workers(), shares),
      Advise(shares, job));
}

}  // namespace parley
