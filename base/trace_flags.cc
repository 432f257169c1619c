#include "base/trace_flags.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "gflags/gflags.h"
#include "glog/logging.h"

DEFINE_string(profile, "",
              "A folder where this task, when it ends, writes what it did when; `parley trace` "
              "puts the tasks' files together, for ui.perfetto.dev. When it cannot, it warns and "
              "training goes on.");
DEFINE_string(profile_steps, "",
              "With --profile: only these steps, like 100-120, from 0. All unless told, of which "
              "the newest are kept, 131072 spans of each task.");

namespace parley {
namespace {

absl::Status ReadSteps(TraceOptions* options) {
  if (FLAGS_profile_steps.empty()) return absl::OkStatus();
  if (FLAGS_profile.empty()) {
    return absl::InvalidArgumentError("--profile_steps needs --profile");
  }
  const std::vector<std::string> parts = absl::StrSplit(FLAGS_profile_steps, '-');
  if (parts.size() == 2 && absl::SimpleAtoi(parts[0], &options->first_step) &&
      absl::SimpleAtoi(parts[1], &options->last_step) && options->first_step >= 0 &&
      options->first_step <= options->last_step) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--profile_steps=", FLAGS_profile_steps, " is no range of steps, like 100-120"));
}

}  // namespace

absl::Status CheckTraceFlags() {
  TraceOptions options;
  return ReadSteps(&options);
}

std::shared_ptr<Trace> NewTraceOfFlags(const std::string& task) {
  if (FLAGS_profile.empty()) return nullptr;
  TraceOptions options;
  options.task = task;
  ReadSteps(&options).IgnoreError();  // CheckTraceFlags said it
  auto trace = std::make_shared<Trace>(options);
  // Known now, not when everything is over.
  if (const absl::Status written = trace->Write(FLAGS_profile); !written.ok()) {
    LOG(WARNING) << task << ": no trace: " << written.message();
    return nullptr;
  }
  return trace;
}

TraceWriter::~TraceWriter() {
  if (trace_ == nullptr) return;
  if (const absl::Status written = trace_->Write(FLAGS_profile); !written.ok()) {
    LOG(WARNING) << "no trace: " << written.message();
  }
}

}  // namespace parley
