#include "ps/spec_text.h"

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/text_table.h"
#include "google/protobuf/descriptor.h"

namespace parley {
namespace {

// "adam with learning rate 0.1"; what else is not the default follows as the spec says it:
// "momentum with learning rate 0.1, momentum { momentum: 0.9 }".
std::string OptimizerName(v1::Optimizer optimizer) {
  const google::protobuf::FieldDescriptor* const kind =
      optimizer.GetReflection()->GetOneofFieldDescriptor(
          optimizer, v1::Optimizer::descriptor()->FindOneofByName("kind"));
  if (kind == nullptr) return "unknown";
  std::string name = absl::StrCat(kind->name(), " with learning rate ", optimizer.learning_rate());
  optimizer.clear_learning_rate();
  if (optimizer.GetReflection()->GetMessage(optimizer, kind).ByteSizeLong() == 0) {
    optimizer.clear_kind();
  }
  if (optimizer.ByteSizeLong() > 0) absl::StrAppend(&name, ", ", optimizer.ShortDebugString());
  return name;
}

std::string PolicyName(const v1::Policy& policy) {
  std::string name = "unknown";
  switch (policy.kind_case()) {
    case v1::Policy::kSynchronous: {
      const v1::Synchronous& synchronous = policy.synchronous();
      name = "synchronous";
      if (synchronous.replicas_to_aggregate() > 0) {
        absl::StrAppend(&name, ", ", synchronous.replicas_to_aggregate(), " replicas");
      }
      if (synchronous.await_silent()) absl::StrAppend(&name, ", with silent workers");
      break;
    }
    case v1::Policy::kAsynchronous:
      name = "asynchronous";
      break;
    case v1::Policy::kBoundedStaleness:
      name = absl::StrCat("bounded staleness, limit ", policy.bounded_staleness().limit());
      break;
    case v1::Policy::kLocalSgd:
      name = absl::StrCat("local sgd, every ", policy.local_sgd().every());
      break;
    case v1::Policy::kElasticAveraging:
      name = absl::StrCat("elastic averaging, every ", policy.elastic_averaging().every());
      break;
    case v1::Policy::kGeo:
      name = absl::StrCat("geo, every ", policy.geo().every());
      break;
    case v1::Policy::kCustom:
      name = absl::StrCat("custom, ", policy.custom().name());
      break;
    case v1::Policy::kPhases:
      name.clear();
      for (const v1::Phases::Phase& phase : policy.phases().phase()) {
        absl::StrAppend(&name, name.empty() ? "" : ", then ", PolicyName(phase.policy()));
        if (phase.rounds() > 0) absl::StrAppend(&name, " for ", phase.rounds(), " rounds");
      }
      break;
    case v1::Policy::KIND_NOT_SET:
      break;
  }
  if (policy.rate_by_staleness()) absl::StrAppend(&name, ", rate by staleness");
  if (policy.has_delay_compensation()) {
    absl::StrAppend(&name, ", delay compensation ", policy.delay_compensation().lambda());
  }
  return name;
}

void PrintLines(const std::vector<std::vector<std::string>>& rows, absl::string_view alignment,
                std::ostream& out) {
  if (rows.size() < 2) return;
  for (const std::string& line : FormatColumns(rows, alignment)) out << line << "\n";
}

}  // namespace

std::string DescribeJob(const v1::JobSpec& spec) {
  return absl::StrCat("optimizer: ", OptimizerName(spec.optimizer()),
                      "\npolicy: ", PolicyName(spec.policy()), "\nworkers: ", spec.num_workers(),
                      "; shards: ", spec.num_shards(), "\n");
}

void PrintSpec(const v1::JobSpec& spec, std::ostream& out) {
  std::vector<std::vector<std::string>> rows = {{"parameter", "shape", "dtype", "bytes"}};
  int64_t total = 0;
  for (const v1::ParameterSpec& parameter : spec.parameters()) {
    int64_t bytes = sizeof(float);
    for (const int64_t size : parameter.shape()) bytes *= size;
    total += bytes;
    rows.push_back({parameter.name(), absl::StrCat("[", absl::StrJoin(parameter.shape(), ","), "]"),
                    v1::DType_Name(parameter.dtype()), absl::StrCat(bytes)});
  }
  PrintLines(rows, "lllr", out);
  std::vector<std::vector<std::string>> tables = {{"table", "width", "dtype"}};
  for (const v1::TableSpec& table : spec.tables()) {
    tables.push_back({table.name(), absl::StrCat(table.width()), v1::DType_Name(table.dtype())});
  }
  PrintLines(tables, "lrl", out);
  out << "\nparameters: " << spec.parameters_size() << ", " << total << " bytes\n"
      << DescribeJob(spec);
}

}  // namespace parley
