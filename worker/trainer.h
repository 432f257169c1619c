#ifndef PARLEY_WORKER_TRAINER_H_
#define PARLEY_WORKER_TRAINER_H_

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/env.h"
#include "base/trace.h"
#include "worker/client.h"
#include "worker/local_update.h"
#include "worker/push_pull_time.h"
#include "worker/training_task.h"

namespace parley {

// What one step of a worker took its time for.
struct StepTime {
  absl::Duration whole;
  absl::Duration compute;  // the task's gradients, and a local update of the worker's values
  absl::Duration push;     // cutting gradients into requests and handing these over
  absl::Duration wait;     // until the shards had taken them, and the next values were there
  WaitParts waited = {};   // what that, and the last handing over, was for
};

// Where training stands, after each step and each evaluation.
struct Progress {
  int64_t step = 0;  // steps done
  int64_t steps = 0;
  int64_t epoch = 0;  // from 1
  int64_t epochs = 0;
  double loss = 0;                // of the last step
  double accuracy = 0;            // on the last step's samples
  double samples_per_second = 0;  // of this worker, so far
  absl::Duration remaining;       // as it went so far
  int64_t samples = 0;            // that this worker has computed, so far
  bool skipped = false;           // the last step changed nothing
  StepTime time;                  // of the last step
};

// What the chief knows at the end.
struct TrainingSummary {
  Evaluation evaluation;          // of the final parameters
  absl::Duration seconds;         // of training, without evaluations
  double samples_per_second = 0;  // of this worker
  int64_t steps = 0;              // that it has done in this run
  Client::JobStatus status;       // of all workers
  // The training ended before its last step, in order (TrainerOptions::should_drain): without an
  // evaluation and a status.
  bool drained = false;
  int64_t next_step = 0;  // the first that was not done, where it drained
  bool stopped = false;   // it drained because an operator ended the job for good
  // This worker is not one of the job's any more from next_step on: an operator took it out.
  bool released = false;
  // The chief's last pull of all parameters, when the others had finished: how long, without what
  // the shard that answered last took itself, and the payloads' bytes.
  absl::Duration last_pull;
  int64_t last_pull_bytes = 0;
};

// Receives what happens. Called by the thread that runs the Trainer.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  virtual void OnStep(const Progress&) {}
  // After OnStep: whether OnValues is wanted.
  virtual bool WantsValues(const Progress&) { return false; }
  // The parameters as they are for the next step (for one that has nobody to pull them, as they
  // were), and the gradients of the last, by the task's order. They stay until it returns.
  virtual void OnValues(const Progress&, absl::Span<const absl::Span<float>> /*parameters*/,
                        absl::Span<const absl::Span<float>> /*gradients*/) {}
  virtual void OnEvaluation(const Progress&, const Evaluation&, absl::Duration) {}
  virtual void OnCheckpoint(int64_t, const std::string&) {}
};

struct TrainerOptions {
  int64_t steps = 0;                // of this worker in the whole job, > 0
  int64_t steps_per_epoch = 0;      // > 0
  bool evaluate_each_epoch = true;  // the chief only; the end is always evaluated
  // Where the chief saves: every `checkpoint_every` steps (0: never between) and at the end. Empty:
  // nowhere.
  std::string checkpoint_folder;
  int64_t checkpoint_every = 0;
  int keep_checkpoints = 2;  // >= 2
  // The chief evaluates the moving averages of the parameters that keep one (Optimizer.ema_decay).
  bool evaluate_averages = false;
  // Asked by the chief before each step, in a job with a pushed schedule: the factor of the
  // learning rate from this step on (Client::SetRateFactor). May be empty.
  std::function<float(int64_t step)> rate_factor;
  // Gradients that are ready while others are being computed travel when this many bytes are.
  int64_t push_bytes = int64_t{1} << 20;
  // How long the chief waits at the end for the other workers.
  absl::Duration finish_timeout = absl::Minutes(10);
  // Asked often; a true ends training with CANCELLED "interrupted". May be empty.
  std::function<bool()> should_stop;
  // Asked often; a true ends training in order. The chief finishes its step, saves where it has a
  // folder, and leaves, with which a job that needs every worker ends for all. Another worker goes
  // on until then, so that the checkpoint has whole steps of all; but after `drain_timeout` it
  // leaves by itself, after its step, and the others go on without it. What is not over after twice
  // that time is interrupted, as by should_stop. May be empty.
  std::function<bool()> should_drain;
  absl::Duration drain_timeout = absl::Seconds(10);
  std::vector<TrainingObserver*> observers;  // in this order
  Env* env = Env::Posix();                   // for its clock
  std::shared_ptr<Trace> trace;              // of this task; null: nobody asked
};

// A Trainer runs a TrainingTask against the shards, from the client's first step to the last. A
// step is: compute, and push the gradients and pull the parameters of the next step in one trip,
// beginning with those that are ready while others are being computed. A worker that the job did
// not wait for goes on with the step that the others are at.
// Where the job's policy has workers with values of their own (worker/local_update.h), a step is:
// compute, and apply the gradients here; every so many steps, and after the last, comes an
// exchange. To the task this is the same; evaluations are of the shards' values, between exchanges
// as they were at the last one; a checkpoint is made at the first exchange from where it is due.
// The chief also evaluates, saves checkpoints, and waits at the end for the others, so that what it
// evaluates last is the job's result. Thread safety: none. Owns the parameters' and gradients'
// buffers; client and task must outlive it.
class Trainer {
 public:
  Trainer(Client* client, TrainingTask* task, TrainerOptions options);

  // Trains and leaves the job: as finished, or with the error that it returns. Call it once. Only
  // the chief's summary has an evaluation and a status. INVALID_ARGUMENT, before the first step,
  // for options that contradict each other or a task with other parameters than the job; CANCELLED
  // when should_stop said so; otherwise the errors of the client and of the task.
  absl::StatusOr<TrainingSummary> Run();

  // The parameters, by the task's order: as they were pulled last, or the worker's own.
  absl::Span<const absl::Span<float>> parameters() const { return parameters_; }

 private:
  absl::StatusOr<TrainingSummary> Train();
  absl::Status CheckOptions() const;
  // Whether the job has exactly the task's parameters: the task writes where it is told, by shape.
  absl::Status CheckTask() const;
  absl::Status Prepare();
  absl::Status Step(int64_t step);
  // What a step is where gradients travel, and where they do not.
  absl::StatusOr<StepResult> ComputeAndPush(int64_t step, StepTime* time);
  absl::StatusOr<StepResult> ComputeAndUpdate(int64_t step, StepTime* time);
  absl::Status Exchange(int64_t step);
  // Whether the chief saves before `step`, which comes after `before`.
  bool SavesBefore(int64_t step, int64_t before) const;
  // The step to do after the pulls for `step`.
  int64_t NextStep(int64_t step) const;
  // Tells the task how many workers there are.
  absl::Status TellWorkers();
  // The same. If this one is none at `*step` but later, goes on
  // there; false: it is none any more.
  absl::StatusOr<bool> TakesPart(int64_t* step);
  // Says how many workers the job has after `step`, where an operator asked for another number.
  absl::Status SetAskedWorkers(int64_t step);
  // `step` as the shards number it: this, or the exchanges before it.
  int64_t WireStep(int64_t step) const;
  // Whether the step changed nothing.
  bool WasSkipped(int64_t step, const StepResult& result) const;
  absl::Status EvaluateNow(Evaluation* evaluation);
  // The task's evaluation of the parameters, or of their averages.
  absl::StatusOr<Evaluation> EvaluateTask();
  // `ticket`: see Client::CheckpointAsked; 0: nobody asked.
  absl::Status Save(int64_t step, uint64_t ticket);
  // The same while training goes on; the one before is awaited first.
  absl::Status BeginSaving(int64_t step, uint64_t ticket);
  // Says what became of the one that was begun, if there is one, and it is written or `waits`.
  absl::Status EndSaving(bool waits);
  void Saved(int64_t step, uint64_t ticket, const std::string& manifest);
  // What an operator asked for, if `step` is one before which it can be; otherwise later.
  void SaveAsked(int64_t step, uint64_t ticket);
  void ReportCheckpoint(int64_t step, uint64_t ticket, const absl::StatusOr<std::string>& manifest);
  absl::Status Finish(TrainingSummary* summary);
  // Whether to drain; notes when that began.
  bool Draining();
  // Whether a worker that drains leaves before `step`.
  bool DrainsBefore(int64_t step);
  // Whether a step failed with `status` because the chief has drained, as this worker does.
  bool EndedByDraining(const absl::Status& status);
  // The chief saves; nobody does `step` in this run.
  absl::StatusOr<TrainingSummary> Drain(int64_t step);
  // This worker is out of the job before `step`.
  TrainingSummary Release(int64_t step);
  absl::Status CheckStop();
  // Waits for a call of the client. When training is to stop, leaves first, which ends the call.
  absl::Status Await(std::future<absl::Status> call);
  static std::vector<Client::Target> Targets(absl::Span<const absl::Span<float>> values);
  // Pushes the gradients of `parameters` and, with `pulls`, pulls their next values.
  std::future<absl::Status> Push(int64_t step, bool pulls, const std::vector<int>& parameters);
  bool is_chief() const { return client_->worker() == 0; }

  Client* const client_;
  TrainingTask* const task_;
  const TrainerOptions options_;
  std::unique_ptr<LocalUpdate> local_;  // null: gradients travel
  std::vector<std::shared_ptr<float>> buffers_;
  std::vector<absl::Span<float>> parameters_;
  std::vector<absl::Span<float>> gradients_;
  Progress progress_;
  absl::Time started_;
  absl::Duration aside_;                                // time that was not training
  absl::Time drain_deadline_ = absl::InfiniteFuture();  // past which other workers leave
  bool stopped_ = false;  // the chief has left because an operator ended the job
  absl::Time of_late_since_;
  int64_t of_late_samples_ = 0;  // until then
  double samples_per_second_of_late_ = 0;
  int64_t first_step_ = 0;
  int64_t steps_done_ = 0;   // by this worker, in this run
  size_t told_workers_ = 0;  // changes of their number that the task was told of
  int refused_workers_ = 0;  // a number that the task would not have
  struct Saving {
    int64_t step = 0;
    uint64_t ticket = 0;
    Client::SavedLater manifest;  // not valid: none is being written
  };
  Saving saving_;
};

}  // namespace parley

#endif  // PARLEY_WORKER_TRAINER_H_
