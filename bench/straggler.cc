// How policies stand slow workers: the time until four workers have trained an mlp on Fashion-MNIST
// to 88% test accuracy, when at each step one of them, at random, takes three times as long
// (passing), and when one always does (lasting); the mean of four evaluations in a row counts. Time
// is simulated (bench/simulated_job.h): the
// figures depend on the seed alone, neither on this machine nor on what else it does. One JSON line
// for each policy; its limit is the synchronous job's time, and the ratio how much sooner it was
// done.
//
//   straggler [--cases=SUBSTRING] [--seed=1] [--data_dir=FOLDER]
//   straggler --convergence
//
// A case is STRAGGLERS/POLICY. --convergence trains without slow workers for as many epochs with
// each policy: the figure is the test accuracy in percent, the mean of four evaluations in the last
// tenth, and the limit the synchronous job's.

#include <algorithm>
#include <atomic>
#include <future>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/keep_freed_memory.h"
#include "bench/compared_policies.h"
#include "bench/simulated_job.h"
#include "data/open_dataset.h"
#include "data/sampler.h"
#include "gflags/gflags.h"
#include "glog/logging.h"

DEFINE_string(cases, "",
              "Only the cases whose names have this part, and what they are divided by.");
DEFINE_uint64(seed, 1, "Of the first values, the order of examples, and who is slow.");
DEFINE_string(data_dir, "/usr/share/datasets/fashion-mnist", "Where Fashion-MNIST lies.");
DEFINE_bool(convergence, false, "Final accuracy after as many epochs, without slow workers.");
DEFINE_int32(epochs, 12, "The epochs of --convergence.");

namespace parley::bench {
namespace {

constexpr double kAccuracy = 0.88;
constexpr int64_t kMostEpochs = 40;
constexpr int64_t kEvaluateEvery = 40;  // steps of worker 0

SimulatedResult Run(const ComparedPolicy& compared, const data::TrainAndTest& data,
                    Stragglers stragglers) {
  SimulatedJob job;
  job.policy = compared.policy;
  job.optimizer = compared.optimizer;
  job.data = data;
  job.batch_size = 64;
  job.seed = FLAGS_seed;
  const absl::StatusOr<data::Sampler> sampler =
      data::Sampler::Create(data.train->size(), job.batch_size, job.workers, job.seed);
  CHECK(sampler.ok()) << sampler.status();
  job.steps = sampler->steps_per_epoch() * (FLAGS_convergence ? FLAGS_epochs : kMostEpochs);
  job.step_time = StepTime(stragglers, job.workers, job.seed);
  job.evaluate_every = FLAGS_convergence ? job.steps / 40 : kEvaluateEvery;
  if (!FLAGS_convergence) job.stop_at_accuracy = kAccuracy;
  absl::StatusOr<SimulatedResult> result = Simulate(job);
  CHECK(result.ok()) << compared.name << ": " << result.status();
  return *std::move(result);
}

void Print(const std::string& name, double figure, const char* unit, double limit, double ratio) {
  std::cout << absl::StreamFormat(
                   "{\"benchmark\": \"straggler\", \"case\": \"%s\", \"figure\": %.2f, "
                   "\"unit\": \"%s\", \"limit_name\": \"synchronous\", \"limit\": %.2f, "
                   "\"ratio\": %.3f}",
                   name, figure, unit, limit, ratio)
            << std::endl;
}

struct Case {
  std::string scenario;
  Stragglers stragglers;
  ComparedPolicy compared;
  std::string Name() const { return absl::StrCat(scenario, "/", compared.name); }
};

// The synchronous job of each scenario comes first: the others are divided by it.
std::vector<Case> ChosenCases() {
  std::vector<std::pair<std::string, Stragglers>> scenarios = {{"passing", Stragglers::kPassing},
                                                               {"lasting", Stragglers::kLasting}};
  if (FLAGS_convergence) scenarios = {{"even", Stragglers::kNone}};
  std::vector<Case> cases;
  for (const auto& [scenario, stragglers] : scenarios) {
    std::vector<Case> chosen;
    bool any = false;
    for (const ComparedPolicy& compared : ComparedPolicies(/*workers=*/4)) {
      Case each = {scenario, stragglers, compared};
      const bool named = each.Name().find(FLAGS_cases) != std::string::npos;
      any = any || named;
      if (named || chosen.empty()) chosen.push_back(std::move(each));
    }
    if (any) cases.insert(cases.end(), chosen.begin(), chosen.end());
  }
  return cases;
}

void Report(const Case& each, const SimulatedResult& result, double* limit) {
  const double figure =
      FLAGS_convergence ? 100 * result.SmoothedAccuracy() : absl::ToDoubleSeconds(result.time);
  if (each.compared.name == "synchronous") *limit = figure;
  if (FLAGS_convergence) return Print(each.Name(), figure, "% accuracy", *limit, figure / *limit);
  CHECK(result.stopped) << each.Name() << " did not reach " << kAccuracy << " in " << kMostEpochs
                        << " epochs";
  Print(each.Name(), figure, "simulated s to 88%", *limit, *limit / figure);
}

void Main() {
  // As features, bytes with the mean and deviation of the examples to train on.
  data::ImageOptions images;
  images.mean = 0.2860f;
  images.stddev = 0.3530f;
  const absl::StatusOr<data::TrainAndTest> data = data::OpenDataset(FLAGS_data_dir, {}, images);
  CHECK(data.ok()) << data.status();
  const std::vector<Case> cases = ChosenCases();
  // One simulation does not see another: as many at a time as there are cores.
  std::vector<std::promise<SimulatedResult>> results(cases.size());
  std::atomic<size_t> next{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back([&] {
      for (size_t each = next++; each < cases.size(); each = next++) {
        results[each].set_value(Run(cases[each].compared, *data, cases[each].stragglers));
      }
    });
  }
  double limit = 0;
  for (size_t i = 0; i < cases.size(); ++i) Report(cases[i], results[i].get_future().get(), &limit);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace parley::bench

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  parley::KeepFreedMemory();
  parley::bench::Main();
}
