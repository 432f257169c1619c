#ifndef PARLEY_PS_PS_PROGRAM_H_
#define PARLEY_PS_PS_PROGRAM_H_

#include "ps/server.h"

namespace parley {

// The whole of a ps task's program, for `main`: reads the flags of parley_ps (--help lists them)
// and TF_CONFIG, serves until every worker of the job has left, and returns the exit code. What the
// flags do not say is taken from `options`: a program that brings optimizers and policies of its
// own is this call with ShardOptions::optimizers and ShardOptions::policies filled in. Once only,
// and alone: it takes SIGINT and SIGTERM, and glog's settings.
int RunPsProgram(int argc, char** argv, ServerOptions options);

}  // namespace parley

#endif  // PARLEY_PS_PS_PROGRAM_H_
