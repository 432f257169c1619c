#ifndef PARLEY_BASE_KNOCK_H_
#define PARLEY_BASE_KNOCK_H_

#include <functional>

namespace parley {

// Ends an HTTP server of this process that listens on `port`: runs `stop`, which blocks until it
// has ended, and connects to it meanwhile. The library's thread looks whether it is to stop when a
// connection comes, or every two seconds.
void StopKnocking(int port, const std::function<void()>& stop);

}  // namespace parley

#endif  // PARLEY_BASE_KNOCK_H_
