#include "deploy/trace_merge.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/file.h"
#include "base/json_string.h"
#include "base/status.h"
#include "deploy/trace_events.pb.h"

namespace parley {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr int64_t kMostBytes = int64_t{1} << 30;  // of a trace; JSON takes several times as many
constexpr char kHandling[] = "handle";  // a shard's span of a whole request (ps/shard_rounds.cc)

// A worker's span of a whole request, or a shard's.
struct RequestSpan {
  size_t task;
  int row;
  double begin;
  double end;
  int times = 0;  // how often it was handled: an answer that was lost says nothing of clocks
};

struct Clock {
  double offset = 0;  // to be added
  double error = kInfinite;
};

absl::StatusOr<TraceFile> ReadTrace(Env* env, const std::string& path) {
  PARLEY_ASSIGN_OR_RETURN(const std::string json, ReadWholeFile(env, path, kMostBytes));
  TraceFile trace;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, &trace, options);
  if (!parsed.ok() || trace.other_data().task().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a trace of a task"));
  }
  for (const TraceEvent& event : trace.trace_events()) {
    // So that sums of them are numbers, too: JSON has no others.
    constexpr double kMost = 1e18;  // microseconds
    if (!(std::fabs(event.ts()) < kMost && std::fabs(event.dur()) < kMost)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " is not a trace of a task: it has a time of ", event.ts(),
                       " and a duration of ", event.dur(), " microseconds"));
    }
  }
  return trace;
}

// Workers above shards, each by index.
std::pair<int, int64_t> PlaceOf(const TraceFile& trace) {
  const std::string& task = trace.other_data().task();
  int64_t index = 0;
  const size_t colon = task.find(':');
  if (colon != std::string::npos && !absl::SimpleAtoi(task.substr(colon + 1), &index)) index = 0;
  return {absl::StartsWith(task, "worker:") ? 0 : 1, index};
}

class Merger {
 public:
  explicit Merger(std::vector<TraceFile> traces) : traces_(std::move(traces)) {
    std::sort(traces_.begin(), traces_.end(),
              [](const TraceFile& a, const TraceFile& b) { return PlaceOf(a) < PlaceOf(b); });
  }

  std::string Merge() {
    FindRequests();
    AlignClocks();
    first_ = kInfinite;
    for (size_t task = 0; task < traces_.size(); ++task) {
      for (const TraceEvent& event : traces_[task].trace_events()) {
        if (event.ph() == "X") first_ = std::min(first_, event.ts() + clocks_[task].offset);
      }
    }
    std::string json = "{\"displayTimeUnit\": \"ms\", \"otherData\": {";
    for (size_t task = 0; task < traces_.size(); ++task) {
      const std::string& name = traces_[task].other_data().task();
      const auto number = [](double value) {
        return std::isfinite(value) ? absl::StrFormat("%.3f", value) : std::string("unknown");
      };
      absl::StrAppend(&json, task == 0 ? "" : ", ", JsonString(name), ": \"offset_us ",
                      number(clocks_[task].offset), ", error_us ", number(clocks_[task].error),
                      ", left_out ", traces_[task].other_data().left_out(), "\"");
    }
    absl::StrAppend(&json, "},\n\"traceEvents\": [");
    for (size_t task = 0; task < traces_.size(); ++task) AppendTask(task, &json);
    for (const auto& [request, sent] : sent_) {
      const auto handled = handled_.find(request);
      if (handled != handled_.end()) AppendArrow(request, sent, handled->second, &json);
    }
    absl::StrAppend(&json, "\n]}\n");
    return json;
  }

 private:
  void FindRequests() {
    for (size_t task = 0; task < traces_.size(); ++task) {
      const bool worker = PlaceOf(traces_[task]).first == 0;
      for (const TraceEvent& event : traces_[task].trace_events()) {
        if (event.ph() != "X" || event.args().request().empty()) continue;
        if (!worker && event.name() != kHandling) continue;
        RequestSpan& span = (worker ? sent_ : handled_)[event.args().request()];
        span = {task, event.tid(), event.ts(), event.ts() + event.dur(), span.times + 1};
      }
    }
  }

  // From the first task over those that know its clock, always on with the least error (Dijkstra).
  void AlignClocks() {
    const size_t count = traces_.size();
    std::map<std::pair<size_t, size_t>, std::vector<RoundTrip>> trips;
    for (const auto& [request, sent] : sent_) {
      const auto handled = handled_.find(request);
      if (handled == handled_.end() || handled->second.times != 1) continue;
      const RequestSpan& there = handled->second;
      trips[{sent.task, there.task}].push_back({sent.begin, there.begin, there.end, sent.end});
    }
    std::map<std::pair<size_t, size_t>, ClockOffset> known;  // from the one's time to the other's
    for (const auto& [pair, between] : trips) {
      const ClockOffset offset = EstimateOffset(between);
      known[pair] = offset;
      known[{pair.second, pair.first}] = {-offset.offset, offset.error};
    }
    for (size_t a = 0; a < count; ++a) {
      for (size_t b = 0; b < count; ++b) {
        const std::string& clock = traces_[a].other_data().clock();
        if (!clock.empty() && clock == traces_[b].other_data().clock()) known[{a, b}] = {0, 0};
      }
    }
    clocks_.assign(count, Clock());
    std::vector<bool> settled(count, false);
    if (count > 0) clocks_[0].error = 0;
    for (size_t i = 0; i < count; ++i) {
      size_t nearest = count;
      for (size_t task = 0; task < count; ++task) {
        const bool nearer = nearest == count || clocks_[task].error < clocks_[nearest].error;
        if (!settled[task] && nearer) nearest = task;
      }
      settled[nearest] = true;
      for (size_t task = 0; task < count; ++task) {
        const auto edge = known.find({task, nearest});
        if (edge == known.end()) continue;
        const double error = clocks_[nearest].error + edge->second.error;
        if (error >= clocks_[task].error) continue;
        clocks_[task] = {clocks_[nearest].offset + edge->second.offset, error};
      }
    }
  }

  double TimeOf(size_t task, double time) const { return time + clocks_[task].offset - first_; }

  void AppendTask(size_t task, std::string* json) {
    const int pid = static_cast<int>(task) + 1;
    const auto begin = [&] {
      absl::StrAppend(json, first_event_ ? "\n" : ",\n");
      first_event_ = false;
    };
    begin();
    absl::StrAppend(json, "{\"ph\": \"M\", \"pid\": ", pid,
                    ", \"name\": \"process_sort_index\", \"args\": {\"sort_index\": ", pid, "}}");
    for (const TraceEvent& event : traces_[task].trace_events()) {
      if (event.ph() != "X" && event.ph() != "M") continue;
      begin();
      absl::StrAppend(json, "{\"ph\": ", JsonString(event.ph()), ", \"pid\": ", pid,
                      ", \"tid\": ", event.tid(), ", \"name\": ", JsonString(event.name()));
      if (event.ph() == "X") {
        absl::StrAppendFormat(json, ", \"ts\": %.3f, \"dur\": %.3f", TimeOf(task, event.ts()),
                              event.dur());
      }
      absl::StrAppend(json, ", \"args\": {");
      AppendArguments(event.args(), json);
      absl::StrAppend(json, "}}");
    }
  }

  static void AppendArguments(const TraceArguments& args, std::string* json) {
    const char* separator = "";
    const auto add = [&](const char* key, const std::string& value) {
      absl::StrAppend(json, separator, "\"", key, "\": ", value);
      separator = ", ";
    };
    if (!args.name().empty()) add("name", JsonString(args.name()));
    if (args.has_step()) add("step", absl::StrCat(args.step()));
    if (args.has_bytes()) add("bytes", absl::StrCat(args.bytes()));
    if (args.has_pushed_bytes()) add("pushed_bytes", absl::StrCat(args.pushed_bytes()));
    if (args.has_pulled_bytes()) add("pulled_bytes", absl::StrCat(args.pulled_bytes()));
    if (!args.request().empty()) add("request", JsonString(args.request()));
  }

  void AppendArrow(const std::string& request, const RequestSpan& sent, const RequestSpan& handled,
                   std::string* json) {
    const auto end = [&](const char* ph, const RequestSpan& span, const char* more) {
      absl::StrAppend(json, ",\n{\"ph\": \"", ph, "\", \"id\": ", JsonString(request),
                      ", \"name\": \"request\", \"cat\": \"request\", \"pid\": ", span.task + 1,
                      ", \"tid\": ", span.row, more);
      absl::StrAppendFormat(json, ", \"ts\": %.3f}", TimeOf(span.task, span.begin));
    };
    end("s", sent, "");
    end("f", handled, ", \"bp\": \"e\"");
  }

  std::vector<TraceFile> traces_;
  std::map<std::string, RequestSpan> sent_;     // by request
  std::map<std::string, RequestSpan> handled_;  // likewise
  std::vector<Clock> clocks_;                   // by task
  double first_ = 0;                            // when the first span begins
  bool first_event_ = true;
};

}  // namespace

ClockOffset EstimateOffset(const std::vector<RoundTrip>& trips) {
  double low = -kInfinite, high = kInfinite, shortest = kInfinite;
  for (const RoundTrip& trip : trips) {
    low = std::max(low, trip.answered - trip.received);
    high = std::min(high, trip.came - trip.sent);
    shortest = std::min(shortest, (trip.came - trip.sent) - (trip.answered - trip.received));
  }
  if (trips.empty()) return {0, kInfinite};
  const double middle = low + (high - low) / 2;
  if (low <= high) return {middle, (high - low) / 2};
  return {middle, (low - high + std::max(0.0, shortest)) / 2};
}

absl::StatusOr<std::string> MergeTraces(Env* env, const std::string& folder) {
  PARLEY_ASSIGN_OR_RETURN(const std::vector<std::string> names, env->ListFolder(folder));
  std::vector<TraceFile> traces;
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".trace.json")) continue;
    PARLEY_ASSIGN_OR_RETURN(TraceFile trace, ReadTrace(env, absl::StrCat(folder, "/", name)));
    traces.push_back(std::move(trace));
  }
  if (traces.empty()) {
    return absl::NotFoundError(absl::StrCat("no traces (*.trace.json) in ", folder));
  }
  return Merger(std::move(traces)).Merge();
}

}  // namespace parley
