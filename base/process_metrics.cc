#include "base/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace parley {
namespace {

std::string ReadAll(const char* path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

// The number behind `key` in /proc/stat's lines; -1: there is none.
double SystemStat(absl::string_view key) {
  const std::string text = ReadAll("/proc/stat");
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    double value;
    if (words.size() >= 2 && words[0] == key && absl::SimpleAtod(words[1], &value)) return value;
  }
  return -1;
}

int CountOpenFiles() {
  DIR* const folder = opendir("/proc/self/fd");
  if (folder == nullptr) return -1;
  int count = -1;  // that of the folder itself
  while (const dirent* const entry = readdir(folder)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(folder);
  return count;
}

}  // namespace

void AddProcessMetrics(MetricSamples* samples) {
  // proc(5): what follows the program's name, which may have spaces, begins with field 3.
  const std::string stat = ReadAll("/proc/self/stat");
  const size_t name_end = stat.rfind(')');
  std::vector<double> fields;  // from field 4 on
  if (name_end != std::string::npos) {
    for (const absl::string_view word :
         absl::StrSplit(absl::string_view(stat).substr(name_end + 1), ' ', absl::SkipEmpty())) {
      double value;
      if (absl::SimpleAtod(word, &value)) fields.push_back(value);
    }
  }
  const auto field = [&](size_t number) { return fields[number - 4]; };
  if (fields.size() >= 21) {
    const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    samples->AddCounter("process_cpu_seconds_total", "Time on processors, of user and system.",
                        (field(14) + field(15)) / ticks);
    samples->AddGauge("process_threads", "Threads.", field(20));
    samples->AddGauge("process_virtual_memory_bytes", "Address space in use.", field(23));
    samples->AddGauge("process_resident_memory_bytes", "Memory in use.",
                      field(24) * static_cast<double>(sysconf(_SC_PAGESIZE)));
    const double boot = SystemStat("btime");
    if (boot >= 0) {
      samples->AddGauge("process_start_time_seconds", "When the process started, Unix time.",
                        boot + field(22) / ticks);
    }
  }
  if (const int files = CountOpenFiles(); files >= 0) {
    samples->AddGauge("process_open_fds", "Open file descriptors.", files);
  }
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    samples->AddGauge("process_max_fds", "File descriptors that may be open.",
                      static_cast<double>(limit.rlim_cur));
  }
}

}  // namespace parley
