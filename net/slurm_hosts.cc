#include "net/slurm_hosts.h"

#include <cctype>
#include <cstddef>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr size_t kMost = 65536;

absl::Status Bad(absl::string_view variable, absl::string_view value) {
  return absl::InvalidArgumentError(absl::StrCat(variable, "=", value, " cannot be read"));
}

// A number of digits only.
bool ParseNumber(absl::string_view text, int* number) {
  for (const char c : text) {
    if (!std::isdigit(static_cast<unsigned char>(c))) return false;
  }
  return absl::SimpleAtoi(text, number);
}

// Appends "01".."03" for "01-03", "7" for "7". False when it is no such range, or too long.
bool AppendRange(absl::string_view range, std::vector<std::string>* numbers) {
  const std::vector<std::string> ends = absl::StrSplit(range, '-');
  int first, last;
  if (ends.size() > 2 || !ParseNumber(ends.front(), &first) || !ParseNumber(ends.back(), &last) ||
      first > last || static_cast<size_t>(last - first) >= kMost) {
    return false;
  }
  for (int number = first; number <= last; ++number) {
    std::string text = absl::StrCat(number);
    if (text.size() < ends[0].size()) text.insert(0, ends[0].size() - text.size(), '0');
    numbers->push_back(std::move(text));
  }
  return true;
}

// The names that one item of a list stands for: "a[1-2]b" is a1b and a2b.
bool ExpandItem(absl::string_view item, std::vector<std::string>* hosts) {
  std::vector<std::string> names = {""};
  while (!item.empty()) {
    const size_t open = item.find('[');
    for (std::string& name : names) absl::StrAppend(&name, item.substr(0, open));
    if (open == absl::string_view::npos) break;
    const size_t close = item.find(']', open);
    if (close == absl::string_view::npos) return false;
    std::vector<std::string> numbers;
    for (const absl::string_view range :
         absl::StrSplit(item.substr(open + 1, close - open - 1), ',')) {
      if (!AppendRange(range, &numbers) || numbers.size() > kMost) return false;
    }
    if (names.size() * numbers.size() > kMost) return false;
    std::vector<std::string> longer;
    for (const std::string& name : names) {
      for (const std::string& number : numbers) longer.push_back(name + number);
    }
    names.swap(longer);
    item.remove_prefix(close + 1);
  }
  for (std::string& name : names) {
    if (name.empty() || name.find(']') != std::string::npos) return false;
    hosts->push_back(std::move(name));
  }
  return hosts->size() <= kMost;
}

bool ExpandNodes(absl::string_view list, std::vector<std::string>* hosts) {
  // Commas within brackets do not separate items.
  size_t begin = 0;
  bool inside = false;
  for (size_t i = 0; i <= list.size(); ++i) {
    if (i < list.size() && list[i] == '[') inside = true;
    if (i < list.size() && list[i] == ']') inside = false;
    if (i < list.size() && (list[i] != ',' || inside)) continue;
    if (!ExpandItem(list.substr(begin, i - begin), hosts)) return false;
    begin = i + 1;
  }
  return true;
}

bool ExpandCounts(absl::string_view list, std::vector<int>* counts) {
  for (absl::string_view item : absl::StrSplit(list, ',')) {
    int repeated = 1;
    const size_t open = item.find("(x");
    if (open != absl::string_view::npos) {
      if (item.back() != ')' ||
          !ParseNumber(item.substr(open + 2, item.size() - open - 3), &repeated)) {
        return false;
      }
      item = item.substr(0, open);
    }
    int count;
    if (!ParseNumber(item, &count) || static_cast<size_t>(count) > kMost ||
        static_cast<size_t>(repeated) > kMost) {
      return false;
    }
    counts->insert(counts->end(), static_cast<size_t>(repeated), count);
    if (counts->size() > kMost) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SlurmHosts(const std::string& node_list,
                                                    const std::string& tasks_per_node) {
  std::vector<std::string> nodes;
  if (!ExpandNodes(node_list, &nodes)) return Bad("SLURM_STEP_NODELIST", node_list);
  std::vector<int> counts;
  if (!ExpandCounts(tasks_per_node, &counts)) {
    return Bad("SLURM_STEP_TASKS_PER_NODE", tasks_per_node);
  }
  if (counts.size() != nodes.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "SLURM_STEP_NODELIST=", node_list, " has ", nodes.size(), " nodes, but ",
        "SLURM_STEP_TASKS_PER_NODE=", tasks_per_node, " counts the tasks of ", counts.size()));
  }
  std::vector<std::string> hosts;
  for (size_t i = 0; i < nodes.size(); ++i) {
    hosts.insert(hosts.end(), static_cast<size_t>(counts[i]), nodes[i]);
    if (hosts.size() > kMost) return Bad("SLURM_STEP_TASKS_PER_NODE", tasks_per_node);
  }
  return hosts;
}

}  // namespace parley
