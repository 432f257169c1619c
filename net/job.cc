#include "net/job.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/plain_text.h"
#include "base/status.h"
#include "google/protobuf/util/message_differencer.h"
#include "net/check_local_update.h"
#include "net/check_norm_policy.h"
#include "net/check_optimizer.h"
#include "net/check_policy.h"
#include "net/check_table.h"
#include "net/placement.h"

namespace parley {
namespace {

constexpr int64_t kDefaultBlockElements = 1 << 18;  // 1 MiB of float32
constexpr int64_t kMaxElements = int64_t{1} << 48;
// A spec comes from the wire: what it may make a shard allocate before any parameter is bounded.
constexpr int64_t kMaxBlocks = 1 << 22;  // 4 TiB of parameters in blocks of 1 MiB
constexpr int kMaxTasks = 1 << 14;

absl::Status Invalid(absl::string_view job, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("job ", job, ": ", message));
}

// Whether each round is one step of every worker, from the round whose number is a step's on.
bool IsPlainSynchronous(const v1::Policy& policy, int num_workers) {
  const v1::Synchronous& synchronous = policy.synchronous();
  if (policy.has_local_sgd()) return true;  // its step is an exchange
  return policy.has_synchronous() && (synchronous.replicas_to_aggregate() == 0 ||
                                      synchronous.replicas_to_aggregate() == num_workers);
}

// The number of elements, or an error that names the dimension.
absl::StatusOr<int64_t> CountElements(const v1::ParameterSpec& parameter) {
  int64_t elements = 1;
  for (const int64_t dimension : parameter.shape()) {
    if (dimension <= 0) {
      return absl::InvalidArgumentError(absl::StrCat("dimension ", dimension, " is not positive"));
    }
    if (dimension > kMaxElements / elements) {
      return absl::InvalidArgumentError("its elements are too many");
    }
    elements *= dimension;
  }
  return elements;
}

}  // namespace

absl::StatusOr<Job> Job::Create(v1::JobSpec spec) {
  Job job;
  job.spec_ = std::move(spec);
  v1::JobSpec& s = job.spec_;
  if (s.name().empty()) return absl::InvalidArgumentError("a job needs a name");
  // A checkpoint or log with other names could be written, and not be read again.
  if (v1::JobSpec copy; !copy.ParseFromString(s.SerializeAsString())) {
    return Invalid(PlainText(s.name()), "not all of its names are UTF-8");
  }
  if (s.num_workers() < 1 || s.num_workers() > kMaxTasks) {
    return Invalid(s.name(), absl::StrCat("num_workers is not in [1, ", kMaxTasks, "]"));
  }
  if (s.num_shards() < 1 || s.num_shards() > kMaxTasks) {
    return Invalid(s.name(), absl::StrCat("num_shards is not in [1, ", kMaxTasks, "]"));
  }
  if (s.block_elements() < 0) return Invalid(s.name(), "block_elements is negative");
  if (s.block_elements() == 0) s.set_block_elements(kDefaultBlockElements);
  if (s.parameters().empty() && s.tables().empty()) {
    return Invalid(s.name(), "it has neither parameters nor tables");
  }
  if (const absl::Status legal = CheckOptimizer(s.optimizer()); !legal.ok()) {
    return Invalid(s.name(), legal.message());
  }
  if (const absl::Status legal = CheckPolicy(s.policy(), s.optimizer(), s.num_workers());
      !legal.ok()) {
    return Invalid(s.name(), legal.message());
  }
  if (const absl::Status legal = CheckNormPolicy(s); !legal.ok()) {
    return Invalid(s.name(), legal.message());
  }
  if (const absl::Status legal = CheckPoliciesTogether(s); !legal.ok()) {
    return Invalid(s.name(), legal.message());
  }
  if (const absl::Status legal = CheckLocalUpdate(s); !legal.ok()) {
    return Invalid(s.name(), legal.message());
  }

  for (const v1::ParameterSpec& parameter : s.parameters()) {
    if (parameter.name().empty()) return Invalid(s.name(), "a parameter has no name");
    const std::string who = absl::StrCat("job ", s.name(), ", parameter ", parameter.name());
    if (parameter.dtype() != v1::FLOAT32) {
      return absl::InvalidArgumentError(absl::StrCat(
          who, ": dtype ", v1::DType_Name(parameter.dtype()), " is not supported, FLOAT32 is"));
    }
    if (parameter.has_optimizer()) {
      PARLEY_RETURN_IF_ERROR(Annotate(CheckOptimizer(parameter.optimizer()), who));
    }
    if (parameter.has_policy() &&
        (HasLocalUpdate(s.policy()) || HasLocalUpdate(parameter.policy()))) {
      return absl::InvalidArgumentError(
          absl::StrCat(who,
                       ": policy is set, allowed is none of its own under local_sgd, "
                       "elastic_averaging and geo, which are for all parameters of a job"));
    }
    if (parameter.has_optimizer() || parameter.has_policy()) {
      PARLEY_RETURN_IF_ERROR(
          Annotate(CheckPolicy(parameter.has_policy() ? parameter.policy() : s.policy(),
                               parameter.has_optimizer() ? parameter.optimizer() : s.optimizer(),
                               s.num_workers()),
                   who));
    }
    const absl::StatusOr<int64_t> elements = CountElements(parameter);
    if (!elements.ok()) return Annotate(elements.status(), who);
    const int index = static_cast<int>(job.parameters_.size());
    if (!job.parameter_index_.emplace(parameter.name(), index).second) {
      return absl::InvalidArgumentError(absl::StrCat(who, ": its name is used twice"));
    }
    const int64_t blocks = (*elements + s.block_elements() - 1) / s.block_elements();
    const int64_t first_block = static_cast<int64_t>(job.blocks_.size());
    if (first_block + blocks > kMaxBlocks) {
      return absl::InvalidArgumentError(
          absl::StrCat(who, ": too many blocks; raise block_elements"));
    }
    job.parameters_.push_back({parameter.name(), *elements, static_cast<int>(first_block),
                               static_cast<int>(blocks), FromProto(parameter.initializer())});
    for (int64_t offset = 0; offset < *elements; offset += s.block_elements()) {
      job.blocks_.push_back(
          {index, offset, std::min(s.block_elements(), *elements - offset), /*shard=*/0});
    }
  }

  PARLEY_RETURN_IF_ERROR(CheckTables(&s));

  std::vector<int64_t> bytes;
  bytes.reserve(job.blocks_.size());
  for (const BlockInfo& block : job.blocks_) {
    bytes.push_back(block.size * static_cast<int64_t>(sizeof(float)));
  }
  const std::vector<int> shard_of = PlaceBlocks(bytes, s.num_shards());
  for (size_t i = 0; i < shard_of.size(); ++i) job.blocks_[i].shard = shard_of[i];
  return job;
}

const v1::Optimizer& Job::OptimizerOf(int parameter) const {
  const v1::ParameterSpec& spec = spec_.parameters(parameter);
  return spec.has_optimizer() ? spec.optimizer() : spec_.optimizer();
}

const v1::Policy& Job::PolicyOfTable(int table) const {
  const v1::TableSpec& spec = spec_.tables(table);
  return spec.has_policy() ? spec.policy() : spec_.policy();
}

absl::StatusOr<int> Job::FindTable(absl::string_view name) const {
  for (int i = 0; i < spec_.tables_size(); ++i) {
    if (spec_.tables(i).name() == name) return i;
  }
  return absl::NotFoundError(absl::StrCat("job ", this->name(), " has no table ", name));
}

const v1::Policy& Job::PolicyOf(int parameter) const {
  const v1::ParameterSpec& spec = spec_.parameters(parameter);
  return spec.has_policy() ? spec.policy() : spec_.policy();
}

int64_t Job::LockstepRounds(int parameter) const {
  const v1::Policy& policy = PolicyOf(parameter);
  const int workers = spec_.num_workers();
  if (IsPlainSynchronous(policy, workers)) return std::numeric_limits<int64_t>::max();
  if (policy.has_phases() && IsPlainSynchronous(policy.phases().phase(0).policy(), workers)) {
    return policy.phases().phase(0).rounds();
  }
  return 0;
}

bool Job::GathersGradients(int parameter) const {
  const v1::Policy& policy = PolicyOf(parameter);
  // One of the shard's own may.
  const auto may_gather = [](const v1::Policy& one) {
    return one.has_synchronous() || one.has_local_sgd() || one.has_custom();
  };
  bool gathers = may_gather(policy);
  for (const v1::Phases::Phase& phase : policy.phases().phase()) {
    gathers = gathers || may_gather(phase.policy());
  }
  return gathers;
}

bool Job::CompensatesDelay(int parameter) const {
  const v1::Policy& policy = PolicyOf(parameter);
  bool compensates = policy.has_delay_compensation();
  for (const v1::Phases::Phase& phase : policy.phases().phase()) {
    compensates = compensates || phase.policy().has_delay_compensation();
  }
  return compensates;
}

std::vector<uint32_t> Job::BlocksOfShard(int shard) const {
  std::vector<uint32_t> result;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    if (blocks_[i].shard == shard) result.push_back(static_cast<uint32_t>(i));
  }
  return result;
}

absl::StatusOr<int> Job::FindParameter(absl::string_view name) const {
  const auto it = parameter_index_.find(name);
  if (it == parameter_index_.end()) {
    return absl::NotFoundError(absl::StrCat("job ", this->name(), " has no parameter ", name));
  }
  return it->second;
}

std::string DescribeDifference(const v1::JobSpec& declared, const v1::JobSpec& other) {
  std::string report;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&report);
  if (differencer.Compare(declared, other)) return "";
  return report.substr(0, report.find('\n'));
}

v1::Initializer ToProto(const Initializer& initializer) {
  v1::Initializer proto;
  switch (initializer.kind) {
    case Initializer::Kind::kConstant:
      proto.mutable_constant()->set_value(initializer.a);
      break;
    case Initializer::Kind::kUniform:
      proto.mutable_uniform()->set_low(initializer.a);
      proto.mutable_uniform()->set_high(initializer.b);
      break;
    case Initializer::Kind::kNormal:
      proto.mutable_normal()->set_mean(initializer.a);
      proto.mutable_normal()->set_stddev(initializer.b);
      break;
  }
  return proto;
}

Initializer FromProto(const v1::Initializer& proto) {
  switch (proto.kind_case()) {
    case v1::Initializer::kConstant:
      return Initializer::Constant(proto.constant().value());
    case v1::Initializer::kUniform:
      return Initializer::Uniform(proto.uniform().low(), proto.uniform().high());
    case v1::Initializer::kNormal:
      return Initializer::Normal(proto.normal().mean(), proto.normal().stddev());
    case v1::Initializer::KIND_NOT_SET:
      break;
  }
  return Initializer::Zeros();
}

}  // namespace parley
