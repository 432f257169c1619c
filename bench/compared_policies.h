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

// All policies, the synchronous one first, in a job of `workers` workers that trains by SGD, with
// rates by which an example moves the parameters about equally far under each. Where gradients or
// values are averaged, that is the synchronous rate. Where each gradient is applied alone, it is
// divided by the number of workers; what is divided by the staleness as well is first multiplied by
// what that is when the workers are alike, one less than there are. Geo pushes the n-th part of a
// worker's way, but of what is left the n-th part next time and so on, so that all of it arrives,
// as if alone.
std::vector<ComparedPolicy> ComparedPolicies(int workers);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_COMPARED_POLICIES_H_
