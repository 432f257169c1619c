// Learns who likes what: users and items are rows of two tables, made up ratings their products. No
// parameter but these; gradients are worked out by hand. Workers are threads of this process, and
// so are the shards.

#include <iostream>

#include "base/flags.h"
#include "examples/factorization.h"
#include "gflags/gflags.h"

DEFINE_uint64(users, 1000, "Who rate.");
DEFINE_uint64(items, 500, "What is rated.");
DEFINE_int32(rank, 8, "Of the factorisation; the ratings' own is 4.");
DEFINE_int32(workers, 2, "Each on a thread.");
DEFINE_int32(shards, 2, "That hold the tables.");
DEFINE_int64(steps, 1000, "Of each worker.");
DEFINE_int32(batch_size, 1024, "Ratings in a step of one worker.");
DEFINE_double(learning_rate, 0.1, "Of Adagrad.");
DEFINE_uint64(seed, 1, "Of the ratings and of first values.");

int main(int argc, char** argv) {
  parley::ParseFlags({"matrix_factorization",
                      "usage: matrix_factorization [flags]\n\nLearns made-up ratings, with users "
                      "and items in tables, in one process.",
                      {{"Flags",
                        {"users", "items", "rank", "workers", "shards", "steps", "batch_size",
                         "learning_rate", "seed"}}}},
                     argc, argv);
  parley::FactorizationOptions options;
  options.users = FLAGS_users;
  options.items = FLAGS_items;
  options.rank = FLAGS_rank;
  options.workers = FLAGS_workers;
  options.shards = FLAGS_shards;
  options.steps = FLAGS_steps;
  options.batch_size = FLAGS_batch_size;
  options.learning_rate = static_cast<float>(FLAGS_learning_rate);
  options.seed = FLAGS_seed;
  const absl::StatusOr<double> error = parley::LearnRatings(options);
  if (!error.ok()) {
    std::cerr << "matrix_factorization: " << error.status().message() << std::endl;
    return 1;
  }
  std::cout << "root mean square error " << *error << ", of the noise " << parley::Ratings::kNoise
            << std::endl;
  return 0;
}
