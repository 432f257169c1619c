#include "worker/event_log.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "worker/value_histogram.h"

namespace parley {
namespace {

void AddScalar(const std::string& tag, double value, event::Summary* summary) {
  event::Summary::Value* const added = summary->add_value();
  added->set_tag(tag);
  added->set_simple_value(static_cast<float>(value));
}

event::Event EventOf(int64_t step) {
  event::Event event;
  event.set_step(step);
  return event;
}

// What the text plugin shows: Markdown.
event::Event Text(const std::string& tag, const std::string& text) {
  event::Event event;
  event::Summary::Value* const value = event.mutable_summary()->add_value();
  value->set_tag(tag);
  value->mutable_metadata()->mutable_plugin_data()->set_plugin_name("text");
  value->mutable_tensor()->set_dtype(event::Tensor::STRING);
  value->mutable_tensor()->mutable_tensor_shape()->add_dim()->set_size(1);
  value->mutable_tensor()->add_string_val(text);
  return event;
}

event::Event HyperParameters(const std::string& tag, const event::HParamsPluginData& data) {
  event::Event event;
  event::Summary::Value* const value = event.mutable_summary()->add_value();
  value->set_tag(tag);
  value->mutable_metadata()->mutable_plugin_data()->set_plugin_name("hparams");
  value->mutable_metadata()->mutable_plugin_data()->set_content(data.SerializeAsString());
  // The plugin wants a tensor, and reads none.
  value->mutable_tensor()->set_dtype(event::Tensor::FLOAT);
  value->mutable_tensor()->mutable_tensor_shape()->add_dim()->set_size(0);
  return event;
}

double UnixTime() { return absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()); }

std::string TableOf(const std::vector<std::pair<std::string, std::string>>& flags) {
  std::string table = "| flag | value |\n|---|---|\n";
  for (const auto& [name, value] : flags) {
    absl::StrAppend(&table, "| `--", name, "` | ", absl::StrReplaceAll(value, {{"|", "\\|"}}),
                    " |\n");
  }
  return table;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLog>> EventLog::Create(EventLogOptions options) {
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<EventWriter> writer,
                          EventWriter::Create(options.env, options.folder));
  std::unique_ptr<EventLog> log(new EventLog(std::move(options), std::move(writer)));
  log->WriteBeginning();
  return log;
}

EventLog::EventLog(EventLogOptions options, std::unique_ptr<EventWriter> writer)
    : options_(std::move(options)), writer_(std::move(writer)) {}

EventLog::~EventLog() {
  event::HParamsPluginData data;
  data.mutable_session_end_info()->set_status(succeeded_ ? event::SessionEndInfo::STATUS_SUCCESS
                                                         : event::SessionEndInfo::STATUS_FAILURE);
  data.mutable_session_end_info()->set_end_time_secs(UnixTime());
  writer_->Add(HyperParameters("_hparams_/session_end_info", data));
}

void EventLog::WriteBeginning() {
  event::HParamsPluginData data;
  event::SessionStartInfo* const info = data.mutable_session_start_info();
  info->set_start_time_secs(UnixTime());
  for (const auto& [name, value] : options_.hyper_parameters) {
    double number;
    google::protobuf::Value& entry = (*info->mutable_hparams())[name];
    if (absl::SimpleAtod(value, &number) && std::isfinite(number)) {
      entry.set_number_value(number);
    } else if (value == "true" || value == "false") {
      entry.set_bool_value(value == "true");
    } else {
      entry.set_string_value(value);
    }
  }
  writer_->Add(HyperParameters("_hparams_/session_start_info", data));
  writer_->Add(Text("flags/text_summary", TableOf(options_.flags)));
}

void EventLog::OnStep(const Progress& progress) {
  if (!std::exchange(started_, true)) {
    event::Event start = EventOf(progress.step);
    start.mutable_session_log()->set_status(event::SessionLog::START);
    writer_->Add(std::move(start));
  }
  ++steps_;
  loss_ += progress.loss;
  accuracy_ += progress.accuracy;
  has_accuracy_ = has_accuracy_ || progress.accuracy > 0;
  time_.whole += progress.time.whole;
  time_.compute += progress.time.compute;
  time_.push += progress.time.push;
  time_.wait += progress.time.wait;
  // The job may have gone on without this worker, so a step is not always the next number.
  const bool due = progress.step % options_.scalars_every == 0 || steps_ >= options_.scalars_every;
  if (!due && progress.step != progress.steps) return;

  event::Event event = EventOf(progress.step);
  event::Summary* const summary = event.mutable_summary();
  const auto count = static_cast<double>(steps_);
  const auto seconds = [&](absl::Duration sum) { return absl::ToDoubleSeconds(sum) / count; };
  AddScalar("train/loss", loss_ / count, summary);
  if (has_accuracy_) AddScalar("train/accuracy", accuracy_ / count, summary);
  AddScalar("train/epoch", static_cast<double>(progress.epoch), summary);
  AddScalar("speed/samples_per_second",
            static_cast<double>(progress.samples - samples_before_) /
                std::max(1e-9, absl::ToDoubleSeconds(time_.whole)),
            summary);
  AddScalar("speed/step_seconds", seconds(time_.whole), summary);
  AddScalar("speed/compute_seconds", seconds(time_.compute), summary);
  AddScalar("speed/push_seconds", seconds(time_.push), summary);
  AddScalar("speed/wait_seconds", seconds(time_.wait), summary);
  writer_->Add(std::move(event));
  steps_ = 0;
  loss_ = accuracy_ = 0;
  time_ = StepTime();
  samples_before_ = progress.samples;
}

bool EventLog::WantsValues(const Progress& progress) {
  return options_.histograms_every > 0 && progress.step % options_.histograms_every == 0;
}

void EventLog::OnValues(const Progress& progress, absl::Span<const absl::Span<float>> parameters,
                        absl::Span<const absl::Span<float>> gradients) {
  event::Event event = EventOf(progress.step);
  event::Summary* const summary = event.mutable_summary();
  double squares = 0;
  for (size_t i = 0; i < parameters.size() && i < options_.parameters.size(); ++i) {
    for (const bool of_gradients : {false, true}) {
      ValueHistogram histogram;
      histogram.Add(of_gradients ? gradients[i] : parameters[i]);
      if (of_gradients) squares += histogram.norm() * histogram.norm();
      if (histogram.count() == 0) continue;
      event::Summary::Value* const value = summary->add_value();
      value->set_tag(
          absl::StrCat(of_gradients ? "gradients/" : "parameters/", options_.parameters[i]));
      *value->mutable_histo() = histogram.ToProto();
    }
  }
  AddScalar("train/gradient_norm", std::sqrt(squares), summary);
  writer_->Add(std::move(event));
}

void EventLog::OnEvaluation(const Progress& progress, const Evaluation& evaluation,
                            absl::Duration took) {
  event::Event event = EventOf(progress.step);
  event::Summary* const summary = event.mutable_summary();
  AddScalar("test/loss", evaluation.loss, summary);
  if (evaluation.has_accuracy) AddScalar("test/accuracy", evaluation.accuracy(), summary);
  for (const auto& [name, value] : evaluation.metrics) {
    AddScalar(absl::StrCat("test/", name), value, summary);
  }
  AddScalar("speed/evaluation_seconds", absl::ToDoubleSeconds(took), summary);
  writer_->Add(std::move(event));
}

}  // namespace parley
