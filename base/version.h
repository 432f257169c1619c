#ifndef PARLEY_BASE_VERSION_H_
#define PARLEY_BASE_VERSION_H_

namespace parley {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace parley

#endif  // PARLEY_BASE_VERSION_H_
