#include "bench/compared_policies.h"

#include <utility>

namespace parley::bench {
namespace {

constexpr float kLearningRate = 0.1f;
constexpr int kStaleness = 3;
constexpr float kLambda = 0.04f;  // Zheng et al., 2017
constexpr int kExchangeEvery = 8;

v1::Optimizer Sgd(float learning_rate) {
  v1::Optimizer optimizer;
  optimizer.set_learning_rate(learning_rate);
  optimizer.mutable_sgd();
  return optimizer;
}

}  // namespace

std::vector<ComparedPolicy> ComparedPolicies(int workers) {
  const v1::Optimizer together = Sgd(kLearningRate);
  const v1::Optimizer alone = Sgd(kLearningRate / static_cast<float>(workers));
  const v1::Optimizer differences = Sgd(1);
  std::vector<ComparedPolicy> all;
  const auto add = [&](const char* name, const v1::Optimizer& optimizer) -> v1::Policy* {
    all.push_back({name, {}, optimizer});
    return &all.back().policy;
  };
  add("synchronous", together)->mutable_synchronous();
  add("backup_workers", together)->mutable_synchronous()->set_replicas_to_aggregate(workers - 1);
  add("asynchronous", alone)->mutable_asynchronous();
  v1::Policy* const by_staleness =
      add("rate_by_staleness",
          Sgd(kLearningRate * static_cast<float>(workers - 1) / static_cast<float>(workers)));
  by_staleness->mutable_asynchronous();
  by_staleness->set_rate_by_staleness(true);
  v1::Policy* const compensated = add("delay_compensation", alone);
  compensated->mutable_asynchronous();
  compensated->mutable_delay_compensation()->set_lambda(kLambda);
  add("bounded_staleness", alone)->mutable_bounded_staleness()->set_limit(kStaleness);

  v1::LocalSgd* const local_sgd = add("local_sgd", differences)->mutable_local_sgd();
  local_sgd->set_every(kExchangeEvery);
  *local_sgd->mutable_local() = together;
  v1::ElasticAveraging* const elastic =
      add("elastic_averaging", differences)->mutable_elastic_averaging();
  elastic->set_every(kExchangeEvery);
  *elastic->mutable_local() = together;
  v1::Geo* const geo = add("geo", differences)->mutable_geo();
  geo->set_every(kExchangeEvery);
  *geo->mutable_local() = alone;
  return all;
}

}  // namespace parley::bench
