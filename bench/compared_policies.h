#ifndef PARLEY_BENCH_COMPARED_POLICIES_H_
#define PARLEY_BENCH_COMPARED_POLICIES_H_

#include <string>
#include <vector>

#include "proto/job.pb.h"

namespace parley::bench {

// A policy with the optimizer that makes it comparable to the others.
struct ComparedPolicy {
  std::string name;  // a word
  v1::Policy policy;
  v1::Optimizer optimizer;  // the shards'
};

// All policies, the synchronous one first, in a job of `workers` workers that trains by SGD. An
// example moves the parameters equally far under each: where a gradient is applied alone, its
// learning rate is the synchronous one divided by the number of workers; where gradients or values
// are averaged, it is the synchronous one. Geo pushes the n-th part of a worker's way, but of what
// is left the n-th part next time and so on, so that all of it arrives, as if alone.
std::vector<ComparedPolicy> ComparedPolicies(int workers);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_COMPARED_POLICIES_H_
