#include "worker/row_cache.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

namespace parley {
namespace {

constexpr uint64_t kUnderWay = std::numeric_limits<uint64_t>::max();
// Of a row, with its place in a hash table that is seven sixteenths full, as it may be.
constexpr size_t kOverhead = 24 + 17 * 16 / 7 + 4;

}  // namespace

RowCache::RowCache(size_t width, const RowCacheOptions& options)
    : width_(width),
      options_(options),
      most_(std::min<size_t>(options.bytes / (width * sizeof(float) + kOverhead),
                             std::numeric_limits<uint32_t>::max())) {
  // All at once, since a vector that grows takes more. Memory is taken when it is first used.
  entries_.reserve(most_);
  rows_.reserve(most_ * width_);
}

RowCache::Ticket RowCache::BeginPull(int64_t step, absl::Span<const uint64_t> keys,
                                     std::vector<bool>* found, absl::Span<float> rows) {
  found->assign(keys.size(), false);
  MutexLock lock(&mutex_);
  int64_t hits = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto place = places_.find(keys[i]);
    if (place == places_.end()) continue;
    Entry& entry = entries_[place->second];
    // In this order: steps may be as large as an int64.
    if (entry.step > step || step - entry.step > options_.staleness) continue;
    entry.used = true;
    std::memcpy(rows.data() + i * width_, rows_.data() + place->second * width_,
                width_ * sizeof(float));
    (*found)[i] = true;
    ++hits;
  }
  hits_ += hits;
  misses_ += static_cast<int64_t>(keys.size()) - hits;
  const Ticket ticket = next_ticket_++;
  pulls_[ticket] = step;
  return ticket;
}

void RowCache::EndPull(Ticket ticket, absl::Span<const uint64_t> keys,
                       absl::Span<const float* const> rows) {
  MutexLock lock(&mutex_);
  const auto pull = pulls_.find(ticket);
  const int64_t step = pull->second;
  pulls_.erase(pull);
  for (size_t i = 0; i < keys.size(); ++i) {
    bool pushed = false;
    for (const auto& [begun, push] : pushes_) {
      pushed = pushed || (push.ended > ticket && push.keys.contains(keys[i]));
    }
    if (!pushed) Insert(keys[i], step, rows[i]);
  }
  ForgetPushes();
}

RowCache::Ticket RowCache::BeginPush(absl::Span<const uint64_t> keys) {
  MutexLock lock(&mutex_);
  const Ticket ticket = next_ticket_++;
  if (options_.keep_pushed) return ticket;
  for (const uint64_t key : keys) {
    const auto place = places_.find(key);
    if (place == places_.end()) continue;
    free_.push_back(place->second);
    places_.erase(place);
  }
  pushes_.push_back({ticket, Push{{keys.begin(), keys.end()}, kUnderWay}});
  return ticket;
}

void RowCache::EndPush(Ticket ticket) {
  MutexLock lock(&mutex_);
  for (auto& [begun, push] : pushes_) {
    if (begun == ticket) push.ended = next_ticket_++;
  }
  ForgetPushes();
}

void RowCache::ForgetPushes() {
  Ticket oldest = next_ticket_;  // pull under way
  for (const auto& [ticket, step] : pulls_) oldest = std::min(oldest, ticket);
  pushes_.remove_if(
      [&](const std::pair<Ticket, Push>& push) { return push.second.ended < oldest; });
}

void RowCache::Insert(uint64_t key, int64_t step, const float* row) {
  if (most_ == 0) return;
  const auto there = places_.find(key);
  uint32_t place;
  if (there != places_.end()) {
    place = there->second;
    if (entries_[place].step > step) return;  // a later pull has ended before
  } else {
    place = FreePlace();
    places_[key] = place;
  }
  entries_[place] = {key, step, false};
  std::memcpy(rows_.data() + place * width_, row, width_ * sizeof(float));
}

uint32_t RowCache::FreePlace() {
  if (!free_.empty()) {
    const uint32_t place = free_.back();
    free_.pop_back();
    return place;
  }
  if (entries_.size() < most_) {
    entries_.push_back({});
    rows_.resize(entries_.size() * width_);
    return static_cast<uint32_t>(entries_.size() - 1);
  }
  while (entries_[hand_].used) {
    entries_[hand_].used = false;
    hand_ = hand_ + 1 == most_ ? 0 : hand_ + 1;
  }
  const uint32_t place = static_cast<uint32_t>(hand_);
  hand_ = hand_ + 1 == most_ ? 0 : hand_ + 1;
  places_.erase(entries_[place].key);
  return place;
}

RowCache::Counts RowCache::counts() const {
  MutexLock lock(&mutex_);
  return {hits_, misses_,
          static_cast<int64_t>(places_.size() * (width_ * sizeof(float) + kOverhead))};
}

}  // namespace parley
