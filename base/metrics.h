#ifndef PARLEY_BASE_METRICS_H_
#define PARLEY_BASE_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/labels.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "base/mutex.h"

namespace parley {

using MetricLabels = prometheus::Labels;                       // {{"task", "ps:0"}}
using MetricFamilies = std::vector<prometheus::MetricFamily>;  // one for each name

// What a source gives to one snapshot. Samples of one name come together, whoever adds them; `help`
// is the first one's. Thread safety: none.
class MetricSamples {
 public:
  // Every sample gets `labels` too.
  explicit MetricSamples(MetricLabels labels) : labels_(std::move(labels)) {}

  // What is added from now on gets these.
  void SetLabels(MetricLabels labels) { labels_ = std::move(labels); }

  void AddCounter(const std::string& name, const std::string& help, double value,
                  const MetricLabels& labels = {});
  void AddGauge(const std::string& name, const std::string& help, double value,
                const MetricLabels& labels = {});
  // counts[i] values were at most bounds[i] and above the bound before it; with one count more than
  // bounds, the last has those above all.
  void AddHistogram(const std::string& name, const std::string& help,
                    absl::Span<const double> bounds, absl::Span<const int64_t> counts, double sum,
                    const MetricLabels& labels = {});

  MetricFamilies TakeFamilies() { return std::move(families_); }

 private:
  prometheus::ClientMetric* Add(const std::string& name, const std::string& help,
                                prometheus::MetricType type, const MetricLabels& labels);

  MetricLabels labels_;
  MetricFamilies families_;
};

// The numbers of one task, by Prometheus' conventions: parley_<part>_<what>_<unit>, in base units
// (seconds, bytes), counters ending in _total. What happens is counted where it happens, in
// counters, gauges and histograms made here; what merely stands somewhere is asked for, by a
// source, when somebody looks. Thread safety: safe from any thread.
class Metrics final : public prometheus::Collectable {
 public:
  using Collector = std::function<void(MetricSamples*)>;

  // A collector that is asked as long as this lives: the destructor waits for a snapshot under way,
  // so it must not hold what the collector locks. The Metrics must outlive it.
  class Source {
   public:
    ~Source() { metrics_->RemoveSource(id_); }
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

   private:
    friend class Metrics;
    Source(Metrics* metrics, int64_t id) : metrics_(metrics), id_(id) {}
    Metrics* const metrics_;
    const int64_t id_;
  };

  // Every sample has the label task="ps:0".
  explicit Metrics(const std::string& task);

  // These live as long as the Metrics; asked for again, they are the same. A name has one help,
  // type and set of bounds.
  prometheus::Counter* NewCounter(const std::string& name, const std::string& help,
                                  const MetricLabels& labels = {});
  prometheus::Gauge* NewGauge(const std::string& name, const std::string& help,
                              const MetricLabels& labels = {});
  prometheus::Histogram* NewHistogram(const std::string& name, const std::string& help,
                                      const std::vector<double>& bounds,
                                      const MetricLabels& labels = {});

  // Its samples get `labels` too.
  std::unique_ptr<Source> AddSource(Collector collector, MetricLabels labels = {});

  // All numbers as they are now, by name.
  MetricFamilies Collect() const override;

 private:
  void RemoveSource(int64_t id);

  const MetricLabels labels_;
  prometheus::Registry registry_;
  mutable Mutex mutex_;  // held while sources are asked
  struct Asked {
    Collector collector;
    MetricLabels labels;
  };
  std::map<int64_t, Asked> sources_ ABSL_GUARDED_BY(mutex_);
  int64_t next_source_ ABSL_GUARDED_BY(mutex_) = 1;
};

// `count` bounds for a histogram, from `first` on, each `factor` times the one before.
std::vector<double> ExponentialBounds(double first, double factor, int count);

// The sum of the samples of `name` that have all `labels`; of a histogram, how many values it has.
// None where there is no such sample.
absl::optional<double> ValueOf(const MetricFamilies& families, absl::string_view name,
                               const MetricLabels& labels = {});

}  // namespace parley

#endif  // PARLEY_BASE_METRICS_H_
