#include "base/metrics.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace parley {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

double Value(const ClientMetric& metric, MetricType type) {
  switch (type) {
    case MetricType::Counter:
      return metric.counter.value;
    case MetricType::Gauge:
      return metric.gauge.value;
    case MetricType::Histogram:
      return static_cast<double>(metric.histogram.sample_count);
    default:
      return 0;
  }
}

bool HasLabels(const ClientMetric& metric, const MetricLabels& labels) {
  return std::all_of(labels.begin(), labels.end(), [&](const auto& wanted) {
    return std::any_of(metric.label.begin(), metric.label.end(), [&](const auto& label) {
      return label.name == wanted.first && label.value == wanted.second;
    });
  });
}

}  // namespace

ClientMetric* MetricSamples::Add(const std::string& name, const std::string& help, MetricType type,
                                 const MetricLabels& labels) {
  auto family = std::find_if(families_.begin(), families_.end(),
                             [&](const MetricFamily& each) { return each.name == name; });
  if (family == families_.end()) {
    families_.emplace_back();
    family = std::prev(families_.end());
    family->name = name;
    family->help = help;
    family->type = type;
  }
  ClientMetric& metric = family->metric.emplace_back();
  const MetricLabels* const parts[] = {&labels_, &labels};
  for (const MetricLabels* part : parts) {
    for (const auto& [label, value] : *part) metric.label.push_back({label, value});
  }
  return &metric;
}

void MetricSamples::AddCounter(const std::string& name, const std::string& help, double value,
                               const MetricLabels& labels) {
  Add(name, help, MetricType::Counter, labels)->counter.value = value;
}

void MetricSamples::AddGauge(const std::string& name, const std::string& help, double value,
                             const MetricLabels& labels) {
  Add(name, help, MetricType::Gauge, labels)->gauge.value = value;
}

void MetricSamples::AddHistogram(const std::string& name, const std::string& help,
                                 absl::Span<const double> bounds, absl::Span<const int64_t> counts,
                                 double sum, const MetricLabels& labels) {
  ClientMetric::Histogram& histogram = Add(name, help, MetricType::Histogram, labels)->histogram;
  uint64_t count = 0;
  for (size_t i = 0; i < bounds.size(); ++i) {
    if (i < counts.size()) count += static_cast<uint64_t>(counts[i]);
    histogram.bucket.push_back({count, bounds[i]});
  }
  for (size_t i = bounds.size(); i < counts.size(); ++i) count += static_cast<uint64_t>(counts[i]);
  histogram.sample_count = count;
  histogram.sample_sum = sum;
}

Metrics::Metrics(const std::string& task) : labels_({{"task", task}}) {}

prometheus::Counter* Metrics::NewCounter(const std::string& name, const std::string& help,
                                         const MetricLabels& labels) {
  return &prometheus::BuildCounter().Name(name).Help(help).Labels(labels_).Register(registry_).Add(
      labels);
}

prometheus::Gauge* Metrics::NewGauge(const std::string& name, const std::string& help,
                                     const MetricLabels& labels) {
  return &prometheus::BuildGauge().Name(name).Help(help).Labels(labels_).Register(registry_).Add(
      labels);
}

prometheus::Histogram* Metrics::NewHistogram(const std::string& name, const std::string& help,
                                             const std::vector<double>& bounds,
                                             const MetricLabels& labels) {
  return &prometheus::BuildHistogram()
              .Name(name)
              .Help(help)
              .Labels(labels_)
              .Register(registry_)
              .Add(labels, bounds);
}

std::unique_ptr<Metrics::Source> Metrics::AddSource(Collector collector, MetricLabels labels) {
  MutexLock lock(&mutex_);
  const int64_t id = next_source_++;
  labels.insert(labels_.begin(), labels_.end());
  sources_.emplace(id, Asked{std::move(collector), std::move(labels)});
  return std::unique_ptr<Source>(new Source(this, id));
}

void Metrics::RemoveSource(int64_t id) {
  MutexLock lock(&mutex_);
  sources_.erase(id);
}

MetricFamilies Metrics::Collect() const {
  MetricSamples samples(labels_);
  {
    MutexLock lock(&mutex_);
    for (const auto& [id, asked] : sources_) {
      samples.SetLabels(asked.labels);
      asked.collector(&samples);
    }
  }
  MetricFamilies families = registry_.Collect();
  for (MetricFamily& family : samples.TakeFamilies()) families.push_back(std::move(family));
  std::sort(families.begin(), families.end(),
            [](const MetricFamily& a, const MetricFamily& b) { return a.name < b.name; });
  return families;
}

std::vector<double> ExponentialBounds(double first, double factor, int count) {
  std::vector<double> bounds;
  for (double bound = first; static_cast<int>(bounds.size()) < count; bound *= factor) {
    bounds.push_back(bound);
  }
  return bounds;
}

absl::optional<double> ValueOf(const MetricFamilies& families, absl::string_view name,
                               const MetricLabels& labels) {
  absl::optional<double> sum;
  for (const MetricFamily& family : families) {
    if (absl::string_view(family.name) != name) continue;
    for (const ClientMetric& metric : family.metric) {
      if (HasLabels(metric, labels)) sum = sum.value_or(0) + Value(metric, family.type);
    }
  }
  return sum;
}

}  // namespace parley
