#ifndef PARLEY_NET_LINK_CHOICE_H_
#define PARLEY_NET_LINK_CHOICE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/optional.h"
#include "net/parameter_server.h"

namespace parley {

// A LinkChoice says on which of several links to one task a PushPull goes. What is sent on one link
// arrives in its order, on two it does not; but pushes of one block have to arrive in the order in
// which they were made. So a push goes where pushes of its blocks are under way, if there are any;
// everything else where least is.
// Thread safety: none.
class LinkChoice {
 public:
  explicit LinkChoice(int links) : links_(static_cast<size_t>(links)) {}

  // What there is to know of a request. A value.
  struct Load {
    Load(const v1::PushPullRequest& request, size_t payload_bytes);
    bool pushes = false;
    uint32_t first = 0, last = 0;  // of the blocks that are pushed; others may be between them
    size_t bytes = 0;              // of the payload
  };

  // The link that a request shall take. Nothing where pushes of its blocks are under way on more
  // than one: it has to wait until some have ended.
  absl::optional<int> Choose(const Load& load) const;
  // A request that was sent on `link`, or will be before the next call of Choose; and one that was
  // answered.
  void Begin(int link, const Load& load);
  void End(int link, const Load& load);

 private:
  struct Link {
    size_t bytes = 0;
    int others = 0;  // without pushes
    std::vector<Load> pushes;
  };
  std::vector<Link> links_;
};

}  // namespace parley

#endif  // PARLEY_NET_LINK_CHOICE_H_
