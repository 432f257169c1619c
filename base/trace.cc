#include "base/trace.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "base/json_string.h"
#include "base/random_id.h"

namespace parley {
namespace {

std::string MachineStart() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  // Without one nobody shares this task's clock.
  return id.empty() ? absl::StrCat(RandomId()) : id;
}

TraceOptions WithDefaults(TraceOptions options) {
  if (options.clock.empty()) options.clock = MachineStart();
  options.max_spans = std::max<size_t>(1, options.max_spans);
  return options;
}

pid_t ThisThread() {
  thread_local const pid_t id = gettid();
  return id;
}

// Threads that nobody named have the program's name.
std::string NameOfThisThread() {
  char name[16] = {};
  if (ThisThread() == getpid()) return "main";
  if (pthread_getname_np(pthread_self(), name, sizeof(name)) != 0) return "thread";
  return program_invocation_short_name != nullptr &&
                 std::string(program_invocation_short_name).substr(0, sizeof(name) - 1) == name
             ? "transport"
             : std::string(name);
}

// Microseconds with nanoseconds, as digits: a double would round.
std::string FormatMicroseconds(absl::Duration duration) {
  const int64_t nanoseconds = absl::ToInt64Nanoseconds(duration);
  return absl::StrFormat("%s%d.%03d", nanoseconds < 0 ? "-" : "", std::abs(nanoseconds / 1000),
                         std::abs(nanoseconds % 1000));
}

// Spans that are shown one in another.
struct Group {
  absl::Time begin = absl::InfiniteFuture();
  absl::Time end = absl::InfinitePast();
  std::vector<Trace::Span> spans;

  void Add(const Trace::Span& span) {
    begin = std::min(begin, span.begin);
    end = std::max(end, span.end);
    spans.push_back(span);
  }
};

bool BeginsFirst(const Trace::Span& a, const Trace::Span& b) {
  return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
}

void AppendSpan(const Trace::Span& span, size_t row, std::string* json) {
  std::string name = span.name;
  if (span.worker >= 0) absl::StrAppend(&name, " worker:", span.worker);
  absl::StrAppend(json, ",\n{\"ph\": \"X\", \"pid\": 1, \"tid\": ", row,
                  ", \"name\": ", JsonString(name),
                  ", \"ts\": ", FormatMicroseconds(span.begin - absl::UnixEpoch()),
                  ", \"dur\": ", FormatMicroseconds(span.end - span.begin), ", \"args\": {");
  const char* separator = "";
  const auto add = [&](const char* key, int64_t value) {
    if (value < 0) return;
    absl::StrAppend(json, separator, "\"", key, "\": ", value);
    separator = ", ";
  };
  add("step", span.step);
  add("bytes", span.bytes);
  add("pushed_bytes", span.pushed_bytes);
  add("pulled_bytes", span.pulled_bytes);
  if (span.request != 0) {
    absl::StrAppend(json, separator, "\"request\": \"", absl::Hex(span.request), "\"");
  }
  absl::StrAppend(json, "}}");
}

}  // namespace

Trace::Trace(TraceOptions options)
    : options_(WithDefaults(std::move(options))), next_request_(RandomId()) {}

int Trace::Track(const std::string& name) {
  MutexLock lock(&mutex_);
  const auto it = std::find(tracks_.begin(), tracks_.end(), name);
  if (it != tracks_.end()) return static_cast<int>(it - tracks_.begin());
  tracks_.push_back(name);
  return static_cast<int>(tracks_.size()) - 1;
}

void Trace::NameThread(const std::string& name) {
  MutexLock lock(&mutex_);
  const auto [it, added] = threads_.emplace(ThisThread(), static_cast<int>(tracks_.size()));
  if (added) {
    tracks_.push_back(name);
  } else {
    tracks_[static_cast<size_t>(it->second)] = name;
  }
}

void Trace::Add(Span span) {
  if (!Wants(span.step)) return;
  MutexLock lock(&mutex_);
  if (span.track == kThisThread) {
    auto it = threads_.find(ThisThread());
    if (it == threads_.end()) {
      it = threads_.emplace(ThisThread(), static_cast<int>(tracks_.size())).first;
      tracks_.push_back(NameOfThisThread());
    }
    span.track = it->second;
  }
  if (spans_.size() < options_.max_spans) {
    spans_.push_back(span);
    return;
  }
  spans_[oldest_] = span;
  oldest_ = (oldest_ + 1) % spans_.size();
  ++left_out_;
}

std::vector<Trace::Row> Trace::MakeRows() const {
  std::vector<std::vector<Span>> by_track(tracks_.size());
  for (const Span& span : spans_) by_track[static_cast<size_t>(span.track)].push_back(span);
  std::vector<bool> is_thread(tracks_.size(), false);
  for (const auto& [thread, track] : threads_) is_thread[static_cast<size_t>(track)] = true;
  std::vector<Row> rows;
  for (size_t track = 0; track < tracks_.size(); ++track) {
    std::vector<Span>& spans = by_track[track];
    std::sort(spans.begin(), spans.end(), BeginsFirst);
    if (is_thread[track]) {
      if (!spans.empty()) rows.push_back({tracks_[track], std::move(spans)});
      continue;
    }
    std::vector<Group> groups;
    std::map<uint64_t, size_t> of_request;
    for (const Span& span : spans) {
      const auto [it, added] = of_request.emplace(span.request, groups.size());
      const bool alone = span.request == 0 || added;
      if (alone) groups.emplace_back();
      groups[alone ? groups.size() - 1 : it->second].Add(span);
    }
    std::sort(groups.begin(), groups.end(),
              [](const Group& a, const Group& b) { return a.begin < b.begin; });
    // Each into the first row that is free.
    const size_t first = rows.size();
    std::vector<absl::Time> ends;
    for (const Group& group : groups) {
      size_t lane = 0;
      while (lane < ends.size() && ends[lane] > group.begin) ++lane;
      if (lane == ends.size()) {
        ends.push_back(group.end);
        rows.push_back(
            {lane == 0 ? tracks_[track] : absl::StrCat(tracks_[track], " (", lane + 1, ")"), {}});
      }
      ends[lane] = group.end;
      std::vector<Span>& row = rows[first + lane].spans;
      row.insert(row.end(), group.spans.begin(), group.spans.end());
    }
  }
  return rows;
}

std::string Trace::ToJson() const {
  MutexLock lock(&mutex_);
  std::string json = absl::StrCat(
      "{\"displayTimeUnit\": \"ms\", \"otherData\": {\"task\": ", JsonString(options_.task),
      ", \"clock\": ", JsonString(options_.clock), ", \"left_out\": \"", left_out_,
      "\"},\n\"traceEvents\": [\n{\"ph\": \"M\", \"pid\": 1, \"name\": \"process_name\", \"args\": "
      "{\"name\": ",
      JsonString(options_.task), "}}");
  const std::vector<Row> rows = MakeRows();
  for (size_t row = 0; row < rows.size(); ++row) {
    absl::StrAppend(
        &json, ",\n{\"ph\": \"M\", \"pid\": 1, \"tid\": ", row + 1,
        ", \"name\": \"thread_name\", \"args\": {\"name\": ", JsonString(rows[row].name), "}}");
    for (const Span& span : rows[row].spans) AppendSpan(span, row + 1, &json);
  }
  absl::StrAppend(&json, "\n]}\n");
  return json;
}

std::string Trace::FileName() const {
  return absl::StrCat(absl::StrReplaceAll(options_.task, {{":", "-"}}), ".trace.json");
}

absl::Status Trace::Write(const std::string& folder) const {
  if (absl::Status made = options_.env->CreateFolders(folder); !made.ok()) return made;
  return WriteFileAtomically(options_.env, absl::StrCat(folder, "/", FileName()), ToJson());
}

}  // namespace parley
