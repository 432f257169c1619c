#include "deploy/host_list.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace parley {
namespace {

constexpr int kMostSlots = 1000;

}  // namespace

absl::StatusOr<std::vector<Host>> ParseHosts(absl::string_view text) {
  std::vector<Host> hosts;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = line.substr(0, line.find('#'));
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty()) continue;
    const auto wrong = [&](const std::string& what) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", what));
    };
    Host host;
    host.name = words[0];
    // ssh would take it for a flag, the tasks for two hosts.
    if (absl::StartsWith(host.name, "-") || absl::StrContains(host.name, "=") ||
        absl::StrContains(host.name, ",")) {
      return wrong(absl::StrCat("\"", host.name, "\" is no host"));
    }
    for (size_t i = 1; i < words.size(); ++i) {
      const std::string& word = words[i];
      if (word == "ps" || word == "worker") {
        (word == "ps" ? host.takes_workers : host.takes_ps) = false;
      } else if (absl::StartsWith(word, "slots=")) {
        if (!absl::SimpleAtoi(word.substr(6), &host.slots) || host.slots < 1 ||
            host.slots > kMostSlots) {
          return wrong(absl::StrCat(word, " is not in [1, ", kMostSlots, "]"));
        }
      } else if (!absl::StartsWith(word, "max_slots=") && !absl::StartsWith(word, "max-slots=")) {
        return wrong(absl::StrCat("\"", word, "\" is none of slots=N, ps, worker"));
      }
    }
    if (!host.takes_ps && !host.takes_workers) {
      return wrong(
          absl::StrCat(host.name, " takes either ps or worker tasks, or both without a word"));
    }
    const auto same = std::find_if(hosts.begin(), hosts.end(), [&](const Host& other) {
      return other.name == host.name && other.takes_ps == host.takes_ps &&
             other.takes_workers == host.takes_workers;
    });
    if (same != hosts.end()) {
      same->slots += host.slots;
    } else {
      hosts.push_back(std::move(host));
    }
  }
  if (hosts.empty()) return absl::InvalidArgumentError("it names no host");
  return hosts;
}

absl::StatusOr<TaskHosts> PlaceTasks(const std::vector<Host>& hosts, int ps, int workers) {
  TaskHosts placed;
  std::vector<std::string> for_ps;
  int slots = 0;
  for (const Host& host : hosts) {
    if (host.takes_ps) for_ps.push_back(host.name);
    if (!host.takes_workers) continue;
    slots += host.slots;
    for (int i = 0; i < host.slots && static_cast<int>(placed.workers.size()) < workers; ++i) {
      placed.workers.push_back(host.name);
    }
  }
  if (for_ps.empty()) return absl::InvalidArgumentError("no host takes ps tasks");
  if (slots < workers) {
    return absl::InvalidArgumentError(absl::StrCat("there are ", workers,
                                                   " workers, and slots for ", slots,
                                                   "; slots=N says of a host how many it takes"));
  }
  for (int i = 0; i < ps; ++i) {
    placed.ps.push_back(for_ps[static_cast<size_t>(i) % for_ps.size()]);
  }
  return placed;
}

}  // namespace parley
