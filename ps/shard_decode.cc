// What a request says to a Shard: checked against its job, with the gradients cut from the payload.

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "net/row_wire.h"
#include "net/wire_dtype.h"
#include "ps/finite.h"
#include "ps/shard.h"

namespace parley {
namespace {

constexpr int64_t kMaxStep = int64_t{1} << 62;

}  // namespace

absl::StatusOr<ShardState::PushPull> Shard::Decode(const Declared& declared,
                                                   const v1::PushPullRequest& request,
                                                   const Payload& payload,
                                                   std::vector<PulledRows>* rows) const {
  const std::string who =
      absl::StrCat(task_, ": worker:", request.sender().worker(), " step ", request.step());
  for (const v1::DType dtype : {request.dtype(), request.pull_dtype()}) {
    if (WireBytes(dtype) != 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(who, ": dtype ", v1::DType_Name(dtype),
                                                   " is none of FLOAT32, BFLOAT16, FLOAT16"));
  }
  for (const v1::DType dtype : {request.rows_dtype(), request.pull_rows_dtype()}) {
    if (dtype == v1::DTYPE_UNSPECIFIED || RowWireBytes(dtype, 1) != 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(who, ": dtype ", v1::DType_Name(dtype),
                                                   " of rows is none of FLOAT32, BFLOAT16, "
                                                   "FLOAT16, INT8"));
  }
  if (request.step() < 0 || request.step() > kMaxStep || request.pull_step() < 0 ||
      request.pull_step() > kMaxStep) {
    return absl::InvalidArgumentError(absl::StrCat(who, ": a step is negative, or over 2^62"));
  }
  if (static_cast<size_t>(request.push_size()) > declared.blocks.size() ||
      static_cast<size_t>(request.pull_size()) > declared.blocks.size()) {
    return absl::InvalidArgumentError(absl::StrCat(who, ": it names more blocks than there are"));
  }
  const auto find = [&](uint32_t number) -> absl::StatusOr<size_t> {
    if (number >= declared.local.size() || declared.local[number] < 0) {
      return absl::NotFoundError(absl::StrCat(who, ": block ", number, " is not here"));
    }
    return static_cast<size_t>(declared.local[number]);
  };

  ShardState::PushPull result;
  result.worker = request.sender().worker();
  result.incarnation = request.sender().incarnation();
  result.step = request.step();
  result.sequence = request.sequence();
  result.skip = request.skip();
  result.pull_step = request.pull_step();
  result.deadline = DeadlineIn(request.wait_ms());
  if (request.base_version_size() != 0 && request.base_version_size() != request.push_size()) {
    return absl::InvalidArgumentError(absl::StrCat(who, ": it has ", request.push_size(),
                                                   " pushes and ", request.base_version_size(),
                                                   " values of base_version"));
  }
  PARLEY_RETURN_IF_ERROR(CheckSaidWorkers(declared, request, who));
  result.workers = request.workers();
  PARLEY_ASSIGN_OR_RETURN(const absl::optional<float> rate_factor,
                          RateFactorOf(declared, request, who));
  PayloadReader gradients(payload);
  result.pushes.reserve(static_cast<size_t>(request.push_size()));
  for (int i = 0; i < request.push_size(); ++i) {
    const uint32_t number = request.push(i);
    PARLEY_ASSIGN_OR_RETURN(const size_t block, find(number));
    const int parameter = declared.job.blocks()[number].parameter;
    const int rounds = request.skip() ? declared.job.OptimizerOf(parameter).accumulate_rounds() : 1;
    if (rounds > 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(who, ", parameter ", declared.job.parameters()[parameter].name,
                       ": it accumulates over ", rounds, " rounds, so no step can be skipped"));
    }
    const size_t bytes = request.skip() ? 0
                                        : static_cast<size_t>(declared.job.blocks()[number].size) *
                                              WireBytes(request.dtype());
    if (bytes > gradients.left()) {
      return absl::InvalidArgumentError(absl::StrCat(
          who, ", parameter ", declared.job.parameters()[parameter].name, ", block ", number,
          ": it has ", bytes, " bytes, the payload only ", gradients.left(), " more"));
    }
    const int64_t base_version = request.base_version_size() == 0 ? 0 : request.base_version(i);
    Gradient gradient(gradients.Take(bytes), request.dtype());
    gradient.rate_factor = rate_factor;
    if (declared.CompensatesDelay(number)) {
      gradient.base = declared.pulled->Find(result.worker, block, base_version);
    }
    result.pushes.push_back({block, base_version, std::move(gradient)});
  }
  for (const ShardState::Push& push : result.pushes) {
    if (AllFinite(push.gradient)) continue;
    const BlockInfo& info = declared.job.blocks()[declared.numbers[push.block]];
    return absl::InvalidArgumentError(absl::StrCat(who, ", parameter ",
                                                   declared.job.parameters()[info.parameter].name,
                                                   ": the gradient has a NaN or an infinity"));
  }
  result.pulls.reserve(static_cast<size_t>(request.pull_size()));
  for (const uint32_t number : request.pull()) {
    PARLEY_ASSIGN_OR_RETURN(const size_t block, find(number));
    result.pulls.push_back(block);
  }
  PARLEY_RETURN_IF_ERROR(DecodeTables(declared, request, who, &gradients, &result, rows));
  if (gradients.left() > 0) {
    return absl::InvalidArgumentError(absl::StrCat(who, ": the payload has ", payload.size(),
                                                   " bytes, its blocks ",
                                                   payload.size() - gradients.left()));
  }
  return result;
}

absl::StatusOr<absl::optional<float>> Shard::RateFactorOf(const Declared& declared,
                                                          const v1::PushPullRequest& request,
                                                          const std::string& who) const {
  if (!request.has_rate_factor()) return absl::optional<float>();
  const float factor = request.rate_factor();
  if (request.sender().worker() != 0 || !declared.takes_rate_factors) {
    return absl::InvalidArgumentError(
        absl::StrCat(who, ": rate_factor is ", factor,
                     ", allowed is none but from worker:0 in a job with a pushed schedule"));
  }
  if (!std::isfinite(factor) || factor < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(who, ": rate_factor is ", factor, ", allowed are finite numbers >= 0"));
  }
  return absl::optional<float>(factor);
}

}  // namespace parley
