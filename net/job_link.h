#ifndef PARLEY_NET_JOB_LINK_H_
#define PARLEY_NET_JOB_LINK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "net/etcd_client.h"
#include "net/job_view.h"
#include "net/parameter_server.h"

namespace parley {

struct JobLinkOptions {
  std::string job;  // empty: whatever job the shards have
  // "host:port" by index, empty for one that nobody knows; or, where there are none:
  std::vector<std::string> ps;
  // where the shards of `job`, which must have a name, are looked for, each time anew.
  std::shared_ptr<EtcdClient> etcd;
  absl::Duration timeout = absl::Seconds(3);  // of each answer
};

// A JobLink is how somebody who is no task of a job looks at it, and asks things of it. A shard
// that does not answer in time is an error of that shard alone. Thread safety: none.
class JobLink {
 public:
  explicit JobLink(JobLinkOptions options);
  ~JobLink();

  // Asks all shards at once. Errors: etcd's; NOT_FOUND when it knows no task of the job.
  absl::StatusOr<JobView> Look(bool with_spec = false);

  // Asks shard `shard`, one of those that the last Look saw.
  // It needs `what`, and what belongs to that.
  absl::StatusOr<v1::AskResponse> Ask(int shard, v1::AskRequest request);
  absl::StatusOr<v1::AskResponse> Ask(int shard, v1::AskRequest::What what);

 private:
  struct Place {
    std::string address;  // empty: etcd knows none
    std::unique_ptr<ParameterServer> channel;
  };

  absl::Status FindPlaces();
  // Why `shard` has no address.
  absl::Status NotKnown(size_t shard) const;

  const JobLinkOptions options_;
  std::vector<Place> places_;  // by shard
  bool has_tasks_ = false;     // in etcd, when it was asked last
};

}  // namespace parley

#endif  // PARLEY_NET_JOB_LINK_H_
