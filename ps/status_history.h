#ifndef PARLEY_PS_STATUS_HISTORY_H_
#define PARLEY_PS_STATUS_HISTORY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "net/job_view.h"

namespace parley {

// How a job went, as curves over its whole run: a bounded number of points, which stand further
// apart the longer it lasts. Thread safety: none.
class StatusHistory {
 public:
  struct Point {
    absl::Time at;  // by the views' clock
    int64_t version = 0;
    int64_t bytes_pushed = 0;  // of the shards in the view, so far
    int64_t bytes_pulled = 0;
    // Of the workers that are live and have said any: their mean loss, their samples together.
    absl::optional<double> loss;
    absl::optional<double> samples_per_second;
  };

  // `interval` is the distance of points at first, `most` (even) their number, at most.
  StatusHistory(absl::Duration interval, size_t most);

  // Takes `view` as a point when it is due; nothing before a job is declared.
  void Add(const JobView& view);

  const std::vector<Point>& points() const { return points_; }
  // {"age_seconds": [9.0, 8.0], "version": [...], "loss": [...], "samples_per_second": [...],
  // "rounds_per_second": [...], "bytes_pushed_per_second": [...], "bytes_pulled_per_second":
  // [...]}: by point; rates are since the point before, null at the first and where counts begin
  // anew.
  std::string FormatJson(absl::Time now) const;

 private:
  absl::Duration interval_;
  const size_t most_;
  std::vector<Point> points_;
};

}  // namespace parley

#endif  // PARLEY_PS_STATUS_HISTORY_H_
