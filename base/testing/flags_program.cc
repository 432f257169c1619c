// A program with a few flags, which flags_test runs.

#include <gflags/gflags.h>

#include <iostream>

#include "base/flags.h"

DEFINE_int64(steps, 100,
             "How many steps each worker does. More steps take longer, and this text goes on "
             "for so long that it needs a second line.");
DEFINE_double(learning_rate, 0.01, "The step length.");
DEFINE_bool(resume, false, "Continue from the newest checkpoint.");
DEFINE_string(model, "cnn", "linear, mlp or cnn.");
DEFINE_string(data_dir, "", "Where the data is.");
DEFINE_string(a_flag_of_a_library, "", "No group names it.");

int main(int argc, char** argv) {
  const parley::CommandLine command_line = {
      "flags_program",
      "usage: flags_program [flags] [argument]\n\nPrints its flags.",
      {{"Training", {"steps", "learning_rate", "resume"}}, {"Data", {"model", "data_dir"}}},
      /*max_arguments=*/1,
      /*takes_rest=*/true};
  const parley::ParsedCommandLine parsed = parley::ParseFlags(command_line, argc, argv);
  std::cout << "steps=" << FLAGS_steps << " learning_rate=" << FLAGS_learning_rate
            << " resume=" << FLAGS_resume << " model=" << FLAGS_model
            << " data_dir=" << FLAGS_data_dir;
  for (const std::string& argument : parsed.arguments) std::cout << " argument:" << argument;
  for (const std::string& rest : parsed.rest) std::cout << " rest:" << rest;
  std::cout << "\n";
}
