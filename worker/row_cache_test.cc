#include "worker/row_cache.h"

#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

// A pull in one go, of rows that are `value` everywhere where they are not cached.
struct OneWidth {
  explicit OneWidth(const RowCacheOptions& options) : cache(1, options) {}

  // What the pull gets, by key; those that are not cached come as `fresh`.
  std::vector<float> Pull(int64_t step, const std::vector<uint64_t>& keys, float fresh) {
    std::vector<bool> found;
    std::vector<float> rows(keys.size());
    const RowCache::Ticket ticket = cache.BeginPull(step, keys, &found, absl::MakeSpan(rows));
    std::vector<uint64_t> came;
    std::vector<const float*> at;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (found[i]) continue;
      rows[i] = fresh;
      came.push_back(keys[i]);
      at.push_back(&rows[i]);
    }
    cache.EndPull(ticket, came, at);
    return rows;
  }

  RowCache cache;
};

RowCacheOptions Options(int64_t staleness, bool keep_pushed = false, size_t bytes = 1 << 20) {
  RowCacheOptions options;
  options.bytes = bytes;
  options.staleness = staleness;
  options.keep_pushed = keep_pushed;
  return options;
}

TEST(RowCacheTest, ARowIsShownUntilItIsTooOld) {
  OneWidth one(Options(2));
  EXPECT_EQ(one.Pull(5, {1}, 10), std::vector<float>{10});
  EXPECT_EQ(one.Pull(6, {1, 2}, 11), (std::vector<float>{10, 11}));
  EXPECT_EQ(one.Pull(7, {1}, 12), std::vector<float>{10});
  EXPECT_EQ(one.Pull(8, {1, 2}, 13), (std::vector<float>{13, 11}));
  EXPECT_EQ(one.Pull(7, {1}, 14), std::vector<float>{14});  // not one from later
  EXPECT_EQ(one.cache.counts().hits, 3);
  EXPECT_EQ(one.cache.counts().misses, 4);
}

TEST(RowCacheTest, APushDropsTheRowUnlessItIsToStay) {
  for (const bool keep : {false, true}) {
    OneWidth one(Options(9, keep));
    one.Pull(0, {1, 2}, 10);
    one.cache.EndPush(one.cache.BeginPush({1}));
    EXPECT_EQ(one.Pull(0, {1, 2}, 11), (std::vector<float>{keep ? 10.0f : 11.0f, 10}));
  }
}

TEST(RowCacheTest, ARowThatIsUsedOutlivesOthers) {
  OneWidth one(Options(1000, false, 100 * 80));  // less than a hundred rows
  one.Pull(0, {1}, 10);
  for (uint64_t key = 2; key < 2000; ++key) {
    one.Pull(0, {key}, 11);
    ASSERT_EQ(one.Pull(0, {1}, 12), std::vector<float>{10}) << key;
    ASSERT_LE(one.cache.counts().bytes, 100 * 80);
  }
  EXPECT_GT(one.cache.counts().bytes, 50 * 80);
}

TEST(RowCacheTest, NoRoomIsNoError) {
  OneWidth one(Options(9, false, 1));
  EXPECT_EQ(one.Pull(0, {1}, 10), std::vector<float>{10});
  EXPECT_EQ(one.Pull(0, {1}, 11), std::vector<float>{11});
}

// Against a table whose row of a key is how many pushes of it were applied, so that a row says when
// it was read. Pulls and pushes overlap as they like; the shards read and apply at some time
// between begin and end.
TEST(RowCacheTest, WhatIsShownIsNeverOlderThanPromised) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  constexpr uint64_t kKeys = 12;
  int64_t hits = 0;
  for (int trial = 0; trial < 40; ++trial) {
    const int64_t staleness = static_cast<int64_t>(random() % 4);
    const bool keep = random() % 2 == 0;
    const size_t bytes = 200 + random() % 1500;
    RowCache cache(2, Options(staleness, keep, bytes));
    struct Pull {
      RowCache::Ticket ticket;
      std::vector<uint64_t> keys;  // that were not found
      std::vector<float> rows;     // of them, two each; empty until they are read
    };
    struct Push {
      RowCache::Ticket ticket;
      std::vector<uint64_t> keys;
      bool applied;
    };
    std::vector<Pull> pulls;
    std::vector<Push> pushes;
    std::vector<float> table(kKeys, 0);
    std::vector<float> own(kKeys, 0);  // pushes that were begun, less those under way
    std::map<int64_t, std::vector<float>> at_begin = {{0, table}};  // of a step
    int64_t step = 0;
    const auto some_keys = [&] {
      std::set<uint64_t> keys;
      for (size_t i = 0; i < 1 + random() % 4; ++i) keys.insert(random() % kKeys);
      return std::vector<uint64_t>(keys.begin(), keys.end());
    };
    const auto read = [&](Pull* pull) {
      if (!pull->rows.empty()) return;
      for (const uint64_t key : pull->keys) pull->rows.insert(pull->rows.end(), 2, table[key]);
    };
    const auto apply = [&](Push* push) {
      if (!push->applied) {
        for (const uint64_t key : push->keys) ++table[key];
      }
      push->applied = true;
    };
    for (int i = 0; i < 3000; ++i) {
      switch (random() % 8) {
        case 0:
          if (random() % 2 == 0) at_begin[++step] = table;
          break;
        case 1:
        case 2: {
          Pull pull;
          const std::vector<uint64_t> keys = some_keys();
          std::vector<bool> found;
          std::vector<float> rows(keys.size() * 2, -1);
          pull.ticket = cache.BeginPull(step, keys, &found, absl::MakeSpan(rows));
          for (size_t k = 0; k < keys.size(); ++k) {
            if (!found[k]) {
              pull.keys.push_back(keys[k]);
              continue;
            }
            ++hits;
            ASSERT_EQ(rows[2 * k], rows[2 * k + 1]);
            const auto oldest = at_begin.find(std::max<int64_t>(0, step - staleness));
            ASSERT_GE(rows[2 * k], oldest->second[keys[k]]) << "older than " << staleness;
            if (keep) continue;
            // Nothing is under way for a row that is shown, and all that this worker pushed is in.
            ASSERT_EQ(rows[2 * k], own[keys[k]]);
          }
          pulls.push_back(std::move(pull));
          break;
        }
        case 3: {
          if (random() % 3 > 0) break;
          Push push{0, some_keys(), false};
          push.ticket = cache.BeginPush(push.keys);
          for (const uint64_t key : push.keys) ++own[key];
          pushes.push_back(std::move(push));
          break;
        }
        case 4:
          if (!pulls.empty()) read(&pulls[random() % pulls.size()]);
          break;
        case 5:
          if (!pushes.empty()) apply(&pushes[random() % pushes.size()]);
          break;
        case 6:
          if (!pulls.empty()) {
            const size_t which = random() % pulls.size();
            Pull& pull = pulls[which];
            if (random() % 8 == 0) pull.keys.clear();  // it has failed
            read(&pull);
            std::vector<const float*> rows;
            for (size_t k = 0; k < pull.keys.size(); ++k) rows.push_back(&pull.rows[2 * k]);
            cache.EndPull(pull.ticket, pull.keys, rows);
            pulls.erase(pulls.begin() + static_cast<int>(which));
          }
          break;
        default:
          if (!pushes.empty()) {
            const size_t which = random() % pushes.size();
            apply(&pushes[which]);
            cache.EndPush(pushes[which].ticket);
            pushes.erase(pushes.begin() + static_cast<int>(which));
          }
      }
      ASSERT_LE(cache.counts().bytes, static_cast<int64_t>(bytes));
    }
  }
  EXPECT_GT(hits, 200);
}

}  // namespace
}  // namespace parley
