#include "net/probe_address.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(ProbeAddressTest, OneWhereNobodyListensIsRefused) {
  UniqueFd listener(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in where = {};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(where);
  auto* const address = reinterpret_cast<sockaddr*>(&where);
  ASSERT_EQ(bind(listener.get(), address, size), 0);
  ASSERT_EQ(getsockname(listener.get(), address, &size), 0);
  const std::string text = "127.0.0.1:" + std::to_string(ntohs(where.sin_port));
  EXPECT_TRUE(IsRefused(text, absl::Seconds(10)));  // it is bound, so nobody else has it
  ASSERT_EQ(listen(listener.get(), 1), 0);
  EXPECT_FALSE(IsRefused(text, absl::Seconds(10)));
}

TEST(ProbeAddressTest, WhatIsNoAddressIsNotRefused) {
  for (const char* text : {"", "localhost", ":", "localhost:no-such-port", "256.1.1.1:80"}) {
    EXPECT_FALSE(IsRefused(text, absl::Seconds(1))) << text;
  }
}

}  // namespace
}  // namespace parley
