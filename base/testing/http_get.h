#ifndef PARLEY_BASE_TESTING_HTTP_GET_H_
#define PARLEY_BASE_TESTING_HTTP_GET_H_

#include <string>

namespace parley {

// The whole answer, head and body, of a request to an HTTP server of this machine; empty when
// nobody listens.
std::string HttpGet(int port, const std::string& path, const std::string& method = "GET");

}  // namespace parley

#endif  // PARLEY_BASE_TESTING_HTTP_GET_H_
