#include "worker/trainer.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/plain_text.h"
#include "base/status.h"
#include "glog/logging.h"

namespace parley {
namespace {

// With the step behind it: why a chief that drains leaves.
constexpr char kDrained[] = "the job was asked to stop before step ";
constexpr char kStopped[] = "an operator stopped the job before step ";  // likewise, for good
constexpr absl::Duration kOfLate = absl::Seconds(1);

}  // namespace

Trainer::Trainer(Client* client, TrainingTask* task, TrainerOptions options)
    : client_(client), task_(task), options_(std::move(options)) {}

absl::StatusOr<TrainingSummary> Trainer::Run() {
  if (options_.trace != nullptr) options_.trace->NameThread("trainer");
  absl::StatusOr<TrainingSummary> summary = Train();
  // The others of a job that needs every worker hear why it ends.
  const bool ends_job = summary.ok() && summary->drained && is_chief();
  const absl::Status left =
      client_->Leave(ends_job ? absl::CancelledError(absl::StrCat(
                                    summary->stopped ? kStopped : kDrained, summary->next_step))
                              : summary.status());
  if (summary.ok() && !left.ok()) return left;
  return summary;
}

absl::Status Trainer::CheckOptions() const {
  if (options_.steps <= 0 || options_.steps_per_epoch <= 0) {
    return absl::InvalidArgumentError(
        "the numbers of steps and of steps in an epoch must be positive");
  }
  if (options_.checkpoint_every < 0 ||
      (options_.checkpoint_every > 0 && options_.checkpoint_folder.empty())) {
    return absl::InvalidArgumentError(
        "saving every few steps needs a positive number and a folder");
  }
  // Found now, not when the first checkpoint or the end is reached.
  if (!options_.checkpoint_folder.empty() && options_.keep_checkpoints < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("at least 2 checkpoints are kept, not ", options_.keep_checkpoints));
  }
  if (options_.finish_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("the wait for other workers at the end must be positive");
  }
  return absl::OkStatus();
}

absl::Status Trainer::CheckTask() const {
  const std::vector<v1::ParameterSpec> own = task_->Parameters();
  const auto& declared = client_->job().spec().parameters();
  if (static_cast<int>(own.size()) != declared.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the task has ", own.size(),
                                                   " parameters, but job ", client_->job().name(),
                                                   " has ", declared.size()));
  }
  for (int i = 0; i < declared.size(); ++i) {
    const auto shape = [](const v1::ParameterSpec& spec) {
      return absl::StrCat(spec.name(), " [", absl::StrJoin(spec.shape(), ", "), "]");
    };
    if (shape(own[i]) == shape(declared[i])) continue;
    return absl::InvalidArgumentError(absl::StrCat("parameter ", i, " is ", shape(own[i]),
                                                   " in the task, but ", shape(declared[i]),
                                                   " in job ", client_->job().name()));
  }
  return absl::OkStatus();
}

absl::Status Trainer::Prepare() {
  PARLEY_RETURN_IF_ERROR(CheckOptions());
  PARLEY_RETURN_IF_ERROR(CheckTask());
  for (const Job::Parameter& parameter : client_->job().parameters()) {
    const size_t size = static_cast<size_t>(parameter.size);
    for (std::vector<absl::Span<float>>* part : {&parameters_, &gradients_}) {
      buffers_.push_back(client_->NewBuffer(size));
      part->push_back(absl::MakeSpan(buffers_.back().get(), size));
    }
  }
  local_ = LocalUpdate::Create(client_->job().spec());
  first_step_ = client_->first_step() * (local_ == nullptr ? 1 : local_->every());
  progress_.step = first_step_;
  progress_.steps = options_.steps;
  progress_.epoch = first_step_ == 0 ? 1 : (first_step_ - 1) / options_.steps_per_epoch + 1;
  progress_.epochs = (options_.steps + options_.steps_per_epoch - 1) / options_.steps_per_epoch;
  PARLEY_RETURN_IF_ERROR(TellWorkers());
  return task_->Start(parameters_, gradients_, first_step_);
}

absl::Status Trainer::TellWorkers() {
  const WorkerCounts workers = client_->workers();
  if (told_workers_ == 0 && workers.first() != client_->job().spec().num_workers()) {
    PARLEY_RETURN_IF_ERROR(task_->SetWorkers(0, workers.first()));
  }
  while (told_workers_ < workers.changes().size()) {
    const v1::WorkerCount& change = workers.changes()[told_workers_++];
    PARLEY_RETURN_IF_ERROR(
        Annotate(task_->SetWorkers(change.from_step(), change.count()),
                 absl::StrCat(change.count(), " workers from step ", change.from_step(), " on")));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Trainer::TakesPart(int64_t* step) {
  for (;;) {
    PARLEY_RETURN_IF_ERROR(TellWorkers());
    const absl::optional<int64_t> mine = client_->workers().NextStepOf(client_->worker(), *step);
    if (!mine.has_value()) return false;
    if (*mine == *step) return true;
    PARLEY_RETURN_IF_ERROR(Await(client_->PullAsync(*mine, Targets(parameters_))));
    *step = NextStep(*mine);
  }
}

absl::Status Trainer::SetAskedWorkers(int64_t step) {
  const int asked = client_->WorkersAsked();
  // A first step may have been done in part by an earlier start, which has said something else.
  const bool can = steps_done_ > 0 && step + 1 < options_.steps && asked != refused_workers_;
  if (asked == 0 || !can || asked == client_->workers().At(step + 1)) return absl::OkStatus();
  if (const absl::Status taken = task_->SetWorkers(step + 1, asked); !taken.ok()) {
    refused_workers_ = asked;
    LOG(WARNING) << "the job keeps its workers though " << asked
                 << " were asked for: " << taken.message();
    return absl::OkStatus();
  }
  PARLEY_RETURN_IF_ERROR(client_->SetWorkers(step, asked));
  told_workers_ = client_->workers().changes().size();
  LOG(INFO) << "the job has " << asked << " workers from step " << step + 1 << " on";
  return absl::OkStatus();
}

absl::StatusOr<TrainingSummary> Trainer::Train() {
  PARLEY_RETURN_IF_ERROR(Prepare());
  const absl::Status pulled =
      Await(client_->PullAsync(WireStep(first_step_), Targets(parameters_)));
  if (EndedByDraining(pulled)) return Drain(first_step_);
  PARLEY_RETURN_IF_ERROR(pulled);
  if (local_ != nullptr) local_->Start(parameters_, gradients_);
  started_ = of_late_since_ = options_.env->Now();
  int64_t before = first_step_;
  for (int64_t step = NextStep(first_step_); step < options_.steps;) {
    PARLEY_RETURN_IF_ERROR(CheckStop());
    if (DrainsBefore(step)) return Drain(step);
    PARLEY_ASSIGN_OR_RETURN(const bool takes_part, TakesPart(&step));
    if (!takes_part) return Release(step);
    if (step >= options_.steps) break;
    PARLEY_RETURN_IF_ERROR(EndSaving(/*waits=*/false));
    const uint64_t asked = is_chief() ? client_->CheckpointAsked() : 0;
    if (SavesBefore(step, before)) {
      PARLEY_RETURN_IF_ERROR(BeginSaving(step, asked));
    } else if (asked != 0) {
      SaveAsked(step, asked);
    }
    if (is_chief()) PARLEY_RETURN_IF_ERROR(SetAskedWorkers(step));
    const absl::Status stepped = Step(step);
    if (EndedByDraining(stepped)) return Drain(step);
    PARLEY_RETURN_IF_ERROR(stepped);
    ++steps_done_;
    before = step;
    step = NextStep(step + 1);
    // The job may have gone on without this worker, so a step is not always the next number.
    const int64_t epoch = options_.steps_per_epoch;
    if (is_chief() && options_.evaluate_each_epoch && step / epoch > before / epoch &&
        step < options_.steps) {
      Evaluation evaluation;
      if (local_ != nullptr) local_->SwapShared();
      PARLEY_RETURN_IF_ERROR(EvaluateNow(&evaluation));
      if (local_ != nullptr) local_->SwapShared();
    }
  }
  TrainingSummary summary;
  summary.seconds = options_.env->Now() - started_ - aside_;
  summary.samples_per_second = progress_.samples_per_second;
  summary.steps = steps_done_;
  if (is_chief()) PARLEY_RETURN_IF_ERROR(Finish(&summary));
  return summary;
}

bool Trainer::SavesBefore(int64_t step, int64_t before) const {
  if (!is_chief() || options_.checkpoint_every == 0 || step == first_step_) return false;
  if (local_ == nullptr) {
    return step / options_.checkpoint_every > before / options_.checkpoint_every;
  }
  const int64_t every = local_->every();
  return step % every == 0 &&
         step / options_.checkpoint_every > (step - every) / options_.checkpoint_every;
}

int64_t Trainer::NextStep(int64_t step) const {
  if (local_ == nullptr) return client_->NextStep(step);
  // Between exchanges it hears nothing.
  if (step % local_->every() != 0) return step;
  return client_->NextStep(step / local_->every()) * local_->every();
}

int64_t Trainer::WireStep(int64_t step) const {
  return local_ == nullptr ? step : local_->ExchangesBefore(step);
}

absl::Status Trainer::Step(int64_t step) {
  const TraceScope scope(options_.trace.get(), "step", step);
  StepTime time;
  const absl::Time began = options_.env->Now();
  if (is_chief() && options_.rate_factor) {
    PARLEY_RETURN_IF_ERROR(client_->SetRateFactor(options_.rate_factor(step)));
  }
  const absl::StatusOr<StepResult> result =
      local_ == nullptr ? ComputeAndPush(step, &time) : ComputeAndUpdate(step, &time);
  PARLEY_RETURN_IF_ERROR(result.status());
  progress_.skipped = WasSkipped(step, *result);
  task_->StepEnded(step, progress_.skipped);
  progress_.samples += result->samples;
  const absl::Time now = options_.env->Now();
  time.whole = now - began;
  progress_.time = time;
  const absl::Duration elapsed = now - started_ - aside_;
  const int64_t done = step + 1 - first_step_;
  progress_.step = step + 1;
  progress_.epoch = step / options_.steps_per_epoch + 1;
  progress_.loss = result->loss;
  progress_.accuracy = result->samples == 0 ? 0
                                            : static_cast<double>(result->correct) /
                                                  static_cast<double>(result->samples);
  progress_.samples_per_second =
      static_cast<double>(progress_.samples) / std::max(1e-9, absl::ToDoubleSeconds(elapsed));
  if (now - of_late_since_ >= kOfLate) {
    samples_per_second_of_late_ = static_cast<double>(progress_.samples - of_late_samples_) /
                                  absl::ToDoubleSeconds(now - of_late_since_);
    of_late_since_ = now;
    of_late_samples_ = progress_.samples;
  }
  const bool too_early = of_late_samples_ == 0;
  client_->Report({progress_.step, progress_.steps, progress_.loss,
                   too_early ? progress_.samples_per_second : samples_per_second_of_late_});
  progress_.remaining = elapsed / done * (options_.steps - step - 1);
  for (TrainingObserver* const observer : options_.observers) {
    observer->OnStep(progress_);
    if (observer->WantsValues(progress_)) observer->OnValues(progress_, parameters_, gradients_);
  }
  return absl::OkStatus();
}

absl::StatusOr<StepResult> Trainer::ComputeAndPush(int64_t step, StepTime* time) {
  const std::string who = absl::StrCat("worker:", client_->worker(), " step ", step);
  // Nobody but the chief needs the parameters that the last step makes.
  const bool pulls = step + 1 < options_.steps || is_chief();
  std::vector<std::future<absl::Status>> calls;
  std::vector<bool> announced(gradients_.size(), false);
  std::vector<int> ready;  // and not sent
  int64_t ready_bytes = 0;
  const auto push_ready = [&] {
    const TraceScope scope(options_.trace.get(), "push", step);
    const absl::Time pushing = options_.env->Now();
    if (!ready.empty()) calls.push_back(Push(step, pulls, ready));
    time->push += options_.env->Now() - pushing;
    ready.clear();
    ready_bytes = 0;
  };
  const absl::Time began = options_.env->Now();
  absl::StatusOr<StepResult> result = [&] {
    const TraceScope scope(options_.trace.get(), "compute", step);
    return task_->ComputeGradients(step, [&](int parameter) {
      announced[parameter] = true;
      ready.push_back(parameter);
      ready_bytes += static_cast<int64_t>(gradients_[parameter].size() * sizeof(float));
      if (ready_bytes >= options_.push_bytes) push_ready();
    });
  }();
  absl::Time handing_over = options_.env->Now();  // the last of it
  time->compute = handing_over - began - time->push;
  if (result.ok() && result->skip) {
    if (std::find(announced.begin(), announced.end(), true) != announced.end()) {
      result = absl::InternalError("a step that is skipped had a gradient ready");
    } else {
      calls.push_back(
          client_->SkipAsync(step, pulls ? Targets(parameters_) : std::vector<Client::Target>()));
    }
  } else if (result.ok()) {
    for (size_t i = 0; i < gradients_.size(); ++i) {
      if (!announced[i]) ready.push_back(static_cast<int>(i));
    }
    handing_over = options_.env->Now();
    push_ready();
  }
  // Also when the task failed: its gradients are being read.
  absl::Status sent = absl::OkStatus();
  const absl::Time waiting = options_.env->Now();
  {
    const TraceScope scope(options_.trace.get(), "wait", step);
    for (std::future<absl::Status>& call : calls) sent.Update(Await(std::move(call)));
  }
  const absl::Time now = options_.env->Now();
  time->wait = now - waiting;
  time->waited = SplitWait(now - handing_over, client_->last_push_pull());
  if (!result.ok()) return Annotate(result.status(), who);
  PARLEY_RETURN_IF_ERROR(sent);
  return result;
}

absl::StatusOr<StepResult> Trainer::ComputeAndUpdate(int64_t step, StepTime* time) {
  const absl::Time began = options_.env->Now();
  absl::StatusOr<StepResult> result = [&] {
    const TraceScope scope(options_.trace.get(), "compute", step);
    return task_->ComputeGradients(step, [](int) {});
  }();
  if (!result.ok()) {
    return Annotate(result.status(), absl::StrCat("worker:", client_->worker(), " step ", step));
  }
  if (!result->skip) local_->Step();
  const absl::Time computed = options_.env->Now();
  time->compute = computed - began;
  if ((step + 1) % local_->every() == 0 || step + 1 == options_.steps) {
    PARLEY_RETURN_IF_ERROR(Exchange(WireStep(step + 1) - 1));
    time->wait = options_.env->Now() - computed;
    time->waited = SplitWait(time->wait, client_->last_push_pull());
  }
  return result;
}

absl::Status Trainer::Exchange(int64_t step) {
  const TraceScope scope(options_.trace.get(), "exchange", step);
  std::vector<Client::Gradient> differences;
  for (size_t i = 0; i < gradients_.size(); ++i) {
    differences.push_back({static_cast<int>(i), gradients_[i]});
  }
  if (local_->pulls_first()) {
    PARLEY_RETURN_IF_ERROR(Await(client_->PullAsync(step, Targets(local_->shared()))));
    local_->MakeDifference();
    return Await(client_->PushAsync(step, std::move(differences)));
  }
  local_->MakeDifference();
  // Nobody but the chief needs the parameters that the last exchange makes.
  if (step + 1 == WireStep(options_.steps) && !is_chief()) {
    return Await(client_->PushAsync(step, std::move(differences)));
  }
  PARLEY_RETURN_IF_ERROR(
      Await(client_->PushPullAsync(step, std::move(differences), Targets(local_->shared()))));
  local_->TakeShared();
  return absl::OkStatus();
}

bool Trainer::WasSkipped(int64_t step, const StepResult& result) const {
  if (result.skip) return true;
  if (local_ != nullptr) return false;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const int parameter = static_cast<int>(i);
    const bool lockstep = step < client_->job().LockstepRounds(parameter);
    if (lockstep && client_->WasSkipped(parameter)) return true;
  }
  return false;
}

absl::StatusOr<Evaluation> Trainer::EvaluateTask() {
  if (!options_.evaluate_averages) return task_->Evaluate();
  std::vector<std::vector<float>> kept;
  for (const absl::Span<float> values : parameters_)
    kept.emplace_back(values.begin(), values.end());
  PARLEY_RETURN_IF_ERROR(
      Await(client_->PullAveragesAsync(WireStep(progress_.step), Targets(parameters_))));
  absl::StatusOr<Evaluation> result = task_->Evaluate();
  for (size_t i = 0; i < kept.size(); ++i) {
    std::copy(kept[i].begin(), kept[i].end(), parameters_[i].begin());
  }
  return result;
}

absl::Status Trainer::EvaluateNow(Evaluation* evaluation) {
  const TraceScope scope(options_.trace.get(), "evaluate");
  const absl::Time before = options_.env->Now();
  absl::StatusOr<Evaluation> result = EvaluateTask();
  if (!result.ok()) {
    return Annotate(result.status(), absl::StrCat("evaluation after step ", progress_.step));
  }
  *evaluation = *result;
  const absl::Duration took = options_.env->Now() - before;
  aside_ += took;
  for (TrainingObserver* const observer : options_.observers) {
    observer->OnEvaluation(progress_, *evaluation, took);
  }
  return absl::OkStatus();
}

void Trainer::SaveAsked(int64_t step, uint64_t ticket) {
  if (options_.checkpoint_folder.empty()) {
    return ReportCheckpoint(
        step, ticket,
        absl::FailedPreconditionError("worker:0, the chief, was started without a folder for it"));
  }
  // That of the first step may be what the job continues from, and is not written over.
  if (step == first_step_ || (local_ != nullptr && step % local_->every() != 0)) return;
  // Nobody who trains has asked for it: training goes on without.
  if (const absl::Status saved = Save(step, ticket); !saved.ok()) {
    LOG(WARNING) << "no checkpoint, though one was asked for: " << saved.message();
    ReportCheckpoint(step, ticket, saved);
  }
}

void Trainer::ReportCheckpoint(int64_t step, uint64_t ticket,
                               const absl::StatusOr<std::string>& manifest) {
  v1::CheckpointReport report;
  report.set_step(step);
  report.set_ticket(ticket);
  report.set_unix_ms(absl::ToUnixMillis(absl::Now()));
  if (manifest.ok()) {
    report.set_folder(PlainText(options_.checkpoint_folder));
    report.set_manifest(*manifest);
  } else {
    report.set_error(PlainText(manifest.status().message()));
  }
  client_->ReportCheckpoint(std::move(report));
}

absl::Status Trainer::Save(int64_t step, uint64_t ticket) {
  PARLEY_RETURN_IF_ERROR(EndSaving(/*waits=*/true));  // of the one before
  const TraceScope scope(options_.trace.get(), "save checkpoint");
  PARLEY_ASSIGN_OR_RETURN(const std::string manifest,
                          client_->SaveCheckpoint(WireStep(step), options_.checkpoint_folder,
                                                  options_.keep_checkpoints));
  Saved(step, ticket, manifest);
  return absl::OkStatus();
}

void Trainer::Saved(int64_t step, uint64_t ticket, const std::string& manifest) {
  ReportCheckpoint(step, ticket, manifest);
  for (TrainingObserver* const observer : options_.observers) {
    observer->OnCheckpoint(step, manifest);
  }
}

absl::Status Trainer::BeginSaving(int64_t step, uint64_t ticket) {
  PARLEY_RETURN_IF_ERROR(EndSaving(/*waits=*/true));  // of the one before
  const TraceScope scope(options_.trace.get(), "begin checkpoint");
  PARLEY_ASSIGN_OR_RETURN(saving_.manifest,
                          client_->SaveCheckpointAsync(WireStep(step), options_.checkpoint_folder,
                                                       options_.keep_checkpoints));
  saving_.step = step;
  saving_.ticket = ticket;
  return absl::OkStatus();
}

absl::Status Trainer::EndSaving(bool waits) {
  const auto ready = [this] {
    return saving_.manifest.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  };
  if (!saving_.manifest.valid() || (!waits && !ready())) return absl::OkStatus();
  const TraceScope scope(options_.trace.get(), "end checkpoint");
  const absl::StatusOr<std::string> manifest = saving_.manifest.get();
  if (absl::IsNotFound(manifest.status())) {
    // Training goes on, and the next one is made when it is due.
    LOG(WARNING) << "no checkpoint of step " << saving_.step << ": " << manifest.status().message();
    ReportCheckpoint(saving_.step, saving_.ticket, manifest);
    return absl::OkStatus();
  }
  if (!manifest.ok()) return manifest.status();
  Saved(saving_.step, saving_.ticket, *manifest);
  return absl::OkStatus();
}

absl::Status Trainer::Finish(TrainingSummary* summary) {
  const int64_t step = std::max(first_step_, options_.steps);
  const absl::Status others = Await(std::async(
      std::launch::async, [this] { return client_->Barrier("finish", options_.finish_timeout); }));
  // A job that does not need every worker has its result without one that was lost.
  if (!others.ok()) {
    if (others.code() != absl::StatusCode::kDeadlineExceeded) return others;
    LOG(WARNING) << "ending without a worker: " << others.message();
  }
  const int64_t pulled_before = client_->bytes_pulled();
  const absl::Time pulling = options_.env->Now();
  PARLEY_RETURN_IF_ERROR(Await(client_->PullAsync(WireStep(step), Targets(parameters_))));
  summary->last_pull = options_.env->Now() - pulling - client_->last_push_pull().held;
  summary->last_pull_bytes = client_->bytes_pulled() - pulled_before;
  PARLEY_RETURN_IF_ERROR(EvaluateNow(&summary->evaluation));
  PARLEY_ASSIGN_OR_RETURN(summary->status, client_->Status());
  if (!options_.checkpoint_folder.empty())
    PARLEY_RETURN_IF_ERROR(Save(step, client_->CheckpointAsked()));
  return absl::OkStatus();
}

bool Trainer::Draining() {
  if (drain_deadline_ != absl::InfiniteFuture()) return true;
  if (!options_.should_drain || !options_.should_drain()) return false;
  drain_deadline_ = options_.env->Now() + options_.drain_timeout;
  return true;
}

bool Trainer::DrainsBefore(int64_t step) {
  if (!Draining()) return false;
  if (!is_chief()) return options_.env->Now() >= drain_deadline_;
  // A checkpoint is of what the shards have: of an exchange.
  return local_ == nullptr || options_.checkpoint_folder.empty() || step % local_->every() == 0;
}

bool Trainer::EndedByDraining(const absl::Status& status) {
  if (is_chief() || !absl::IsAborted(status)) return false;
  // The chief may say it before this worker's next heartbeat does.
  stopped_ = stopped_ || absl::StrContains(status.message(), kStopped);
  return stopped_ || (absl::StrContains(status.message(), kDrained) && Draining());
}

absl::StatusOr<TrainingSummary> Trainer::Drain(int64_t step) {
  if (is_chief() && !options_.checkpoint_folder.empty()) {
    PARLEY_RETURN_IF_ERROR(Await(std::async(
        std::launch::async, [this, step] { return Save(step, client_->CheckpointAsked()); })));
  }
  TrainingSummary summary;
  summary.seconds = options_.env->Now() - started_ - aside_;
  summary.steps = steps_done_;
  summary.drained = true;
  summary.stopped = stopped_ || client_->ShardsStop();
  summary.next_step = step;
  return summary;
}

TrainingSummary Trainer::Release(int64_t step) {
  TrainingSummary summary;
  summary.seconds = options_.env->Now() - started_ - aside_;
  summary.steps = steps_done_;
  summary.released = true;
  summary.next_step = step;
  return summary;
}

absl::Status Trainer::CheckStop() {
  const bool stop = options_.should_stop && options_.should_stop();
  const bool late = Draining() && options_.env->Now() >= drain_deadline_ + options_.drain_timeout;
  return stop || late ? absl::CancelledError("interrupted") : absl::OkStatus();
}

absl::Status Trainer::Await(std::future<absl::Status> call) {
  while (call.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    const absl::Status stop = CheckStop();
    if (stop.ok()) continue;
    client_->Leave(stop).IgnoreError();
    call.wait();  // the buffers are in use until then
    return stop;
  }
  return call.get();
}

std::vector<Client::Target> Trainer::Targets(absl::Span<const absl::Span<float>> values) {
  std::vector<Client::Target> targets;
  for (size_t i = 0; i < values.size(); ++i) targets.push_back({static_cast<int>(i), values[i]});
  return targets;
}

std::future<absl::Status> Trainer::Push(int64_t step, bool pulls,
                                        const std::vector<int>& parameters) {
  std::vector<Client::Gradient> gradients;
  std::vector<Client::Target> targets;
  for (const int parameter : parameters) {
    gradients.push_back({parameter, gradients_[parameter]});
    if (pulls) targets.push_back({parameter, parameters_[parameter]});
  }
  return pulls ? client_->PushPullAsync(step, std::move(gradients), std::move(targets))
               : client_->PushAsync(step, std::move(gradients));
}

}  // namespace parley
