#ifndef PARLEY_BASE_TESTING_TEMP_FOLDER_H_
#define PARLEY_BASE_TESTING_TEMP_FOLDER_H_

#include <string>

namespace parley {

// A new empty folder under the test's temporary one; removed with all in it by the destructor.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  // "<path>/<name>"
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace parley

#endif  // PARLEY_BASE_TESTING_TEMP_FOLDER_H_
