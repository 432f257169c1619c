// parley_ps: one ps task with what Parley brings; see ps/ps_program.h.

#include "ps/ps_program.h"

int main(int argc, char** argv) { return parley::RunPsProgram(argc, argv, {}); }
