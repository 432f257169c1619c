#include "net/listen_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "net/testing/silent_listener.h"

namespace parley {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(FindListenAddress, PortZeroIsAFreeOneOnAllAddresses) {
  const absl::StatusOr<ListenAddress> found = FindListenAddress("localhost:0");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_GT(found->port, 0);
  EXPECT_THAT(found->addresses, Contains(absl::StrCat("127.0.0.1:", found->port)));
  for (const std::string& address : found->addresses) {
    EXPECT_THAT(address, HasSubstr(absl::StrCat(":", found->port)));
  }
}

TEST(FindListenAddress, NumericAddressesStayAsTheyAre) {
  const absl::StatusOr<ListenAddress> found = FindListenAddress("127.0.0.1:0");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(found->addresses, ElementsAre(absl::StrCat("127.0.0.1:", found->port)));
  const absl::StatusOr<ListenAddress> any = FindListenAddress("0.0.0.0:0");
  ASSERT_TRUE(any.ok()) << any.status();
  EXPECT_THAT(any->addresses, ElementsAre(absl::StrCat("0.0.0.0:", any->port)));
}

TEST(FindListenAddress, APortTakenOnOneOfTheAddressesIsInUse) {
  const SilentListener other(/*listening=*/true);  // on 127.0.0.1 only
  ASSERT_NE(other.port(), 0);
  const std::string address = absl::StrCat("localhost:", other.port());
  const absl::Status status = FindListenAddress(address).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(address));
}

TEST(FindListenAddress, AnAddressOfAnotherMachineIsAnError) {
  // A block of addresses for documentation (RFC 5737).
  const absl::Status status = FindListenAddress("192.0.2.1:0").status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("192.0.2.1:0"));
}

TEST(FindListenAddress, IllegalAddressesAreInvalidArgument) {
  for (const std::string address : {"", "localhost", "localhost:", ":80", "localhost:x",
                                    "localhost:-1", "localhost:65536", "no.such.host.invalid:0"}) {
    const absl::Status status = FindListenAddress(address).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(address));
  }
}

}  // namespace
}  // namespace parley
