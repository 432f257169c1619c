// A shard's leases are measured by its Env's clock, which nobody sets.

#include "absl/time/time.h"
#include "base/testing/memory_env.h"
#include "gtest/gtest.h"
#include "ps/testing/one_shard.h"

namespace parley {
namespace {

TEST(ShardClockTest, APlaceBecomesFreeByTheClockOfTheEnvAlone) {
  MemoryEnv env;
  OneShard shard(OneShardSpec(1, /*synchronous=*/true), &env);
  ShardOptions options;
  options.lease = absl::Hours(1);
  options.replace_after = absl::Minutes(1);
  shard.StartWith(std::move(options));
  ASSERT_TRUE(shard.Declare().ok());
  ASSERT_TRUE(shard.Join(0, 1).ok());
  const absl::Status held = shard.Join(0, 2, absl::Milliseconds(100)).status();
  EXPECT_TRUE(absl::IsAlreadyExists(held)) << held;
  env.Advance(absl::Hours(1));
  EXPECT_TRUE(shard.Join(0, 3, absl::Milliseconds(100)).ok());
}

}  // namespace
}  // namespace parley
