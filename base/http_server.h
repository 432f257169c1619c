#ifndef PARLEY_BASE_HTTP_SERVER_H_
#define PARLEY_BASE_HTTP_SERVER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace parley {

// What is answered to a GET: "text/html; charset=utf-8", and the body.
struct HttpPage {
  std::string type;
  std::string body;
};

// Serves a few pages that are for looking at: GET and HEAD of the paths it knows; anything else is
// not found, or not allowed. Browsers are told to load nothing from elsewhere, to keep nothing, and
// to show the pages in no frame. Threads: a few of its own, which call the page functions.
class HttpServer {
 public:
  // Makes a page, at each request, on any thread, several at a time.
  using Make = std::function<HttpPage()>;

  // Listens on `port` of all addresses of this machine; 0 takes a free one. `pages` is by path,
  // "/status.json". UNAVAILABLE when the port is in use, INVALID_ARGUMENT when there is none such.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(int port,
                                                           std::map<std::string, Make> pages);
  // Ends what is under way.
  virtual ~HttpServer() = default;

  virtual int port() const = 0;
};

}  // namespace parley

#endif  // PARLEY_BASE_HTTP_SERVER_H_
