#ifndef PARLEY_NET_CHECK_CUSTOM_H_
#define PARLEY_NET_CHECK_CUSTOM_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proto/job.pb.h"

namespace parley {

// OK when `custom`, which is field `field` of a spec ("optimizer.custom"), has a name and options
// that proto/job.proto allows; whether the name means something only the ps tasks know. Else
// INVALID_ARGUMENT that names the field, its value and the allowed ones.
absl::Status CheckCustom(absl::string_view field, const v1::Custom& custom);

}  // namespace parley

#endif  // PARLEY_NET_CHECK_CUSTOM_H_
