#ifndef PARLEY_BASE_PLANTED_BUG_H_
#define PARLEY_BASE_PLANTED_BUG_H_

// PARLEY_PLANTED_BUG("name") is whether the bug of that name is in this program, where it stands:
// false, at compile time, unless the build is `--config=teeth`. There it is true when the
// environment's PARLEY_PLANTED_BUG is the name. Each bug has one place. tools/teeth shows that the
// tests catch all of them; what they do is in docs/guarantees.md ("Teeth").

#ifdef PARLEY_HAS_PLANTED_BUGS

#include <cstdlib>
#include <cstring>

namespace parley {

// Thread safety: safe from any thread, where none changes the environment.
inline bool IsPlanted(const char* bug) {
  static const char* const planted = std::getenv("PARLEY_PLANTED_BUG");
  return planted != nullptr && std::strcmp(planted, bug) == 0;
}

}  // namespace parley

#define PARLEY_PLANTED_BUG(name) ::parley::IsPlanted(name)

#else

#define PARLEY_PLANTED_BUG(name) false

#endif  // PARLEY_HAS_PLANTED_BUGS

#endif  // PARLEY_BASE_PLANTED_BUG_H_
