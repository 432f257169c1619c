#include "data/line_reader.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace parley::data {
namespace {

constexpr size_t kPiece = size_t{256} << 10;
constexpr size_t kPackedPiece = size_t{16} << 10;  // gzip makes at most about 1030 times as many
constexpr int kGzipOnly = 16 + MAX_WBITS;  // inflateInit2: a gzip header and trailer are expected

// Newlines in bytes [0, end) of a file.
absl::StatusOr<int64_t> CountLines(const ReadableFile& file, int64_t end) {
  std::vector<char> piece(kPiece);
  int64_t lines = 0;
  for (int64_t at = 0; at < end; at += static_cast<int64_t>(kPiece)) {
    const size_t size = static_cast<size_t>(std::min<int64_t>(kPiece, end - at));
    PARLEY_RETURN_IF_ERROR(file.ReadAt(at, piece.data(), size));
    lines += std::count(piece.data(), piece.data() + size, '\n');
  }
  return lines;
}

}  // namespace

// Unpacks gzip members one after another. Not zlib's gz functions: they take whatever follows a
// member for harmless.
class LineReader::Gunzip {
 public:
  static std::unique_ptr<Gunzip> Create() {
    auto result = std::make_unique<Gunzip>();
    if (inflateInit2(&result->stream_, kGzipOnly) != Z_OK) return nullptr;
    result->begun_ = true;
    return result;
  }
  ~Gunzip() {
    if (begun_) inflateEnd(&stream_);
  }

  // Unpacks `packed` to the end of `text`. An error without a prefix.
  absl::Status Add(absl::string_view packed, std::string* text) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    stream_.avail_in = static_cast<uInt>(packed.size());
    bool room_left = false;
    unpacked_.resize(kPiece);
    while (stream_.avail_in > 0 || !room_left) {
      if (member_ended_) {
        if (stream_.avail_in == 0) return absl::OkStatus();
        inflateReset(&stream_);
        member_ended_ = false;
      }
      stream_.next_out = reinterpret_cast<Bytef*>(unpacked_.data());
      stream_.avail_out = kPiece;
      const int result = inflate(&stream_, Z_NO_FLUSH);
      text->append(unpacked_.data(), kPiece - stream_.avail_out);
      room_left = stream_.avail_out > 0;
      member_ended_ = result == Z_STREAM_END;
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        return absl::DataLossError(
            absl::StrCat("its gzip is damaged: ", stream_.msg == nullptr ? "?" : stream_.msg));
      }
    }
    return absl::OkStatus();
  }
  bool member_ended() const { return member_ended_; }

 private:
  z_stream stream_ = {};
  bool begun_ = false;
  bool member_ended_ = false;
  std::vector<char> unpacked_;  // by one call of inflate
};

LineReader::LineReader(std::unique_ptr<ReadableFile> file, std::string path, int64_t begin,
                       int64_t end)
    : file_(std::move(file)),
      path_(std::move(path)),
      begin_(begin),
      end_(end),
      text_at_(begin),
      read_(begin) {}

LineReader::~LineReader() = default;

absl::StatusOr<std::unique_ptr<LineReader>> LineReader::Open(Env* env, const std::string& path,
                                                             int part, int parts) {
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> file, env->OpenFile(path));
  const int64_t size = file->size();
  unsigned char magic[2] = {};
  if (size >= 2) PARLEY_RETURN_IF_ERROR(file->ReadAt(0, magic, 2));
  if (magic[0] == 0x1f && magic[1] == 0x8b) {
    std::unique_ptr<LineReader> reader(new LineReader(std::move(file), path, 0, size));
    reader->gunzip_ = Gunzip::Create();
    if (reader->gunzip_ == nullptr) {
      return absl::ResourceExhaustedError(absl::StrCat(path, ": no memory to unpack it"));
    }
    reader->part_ = part;
    reader->parts_ = parts;
    return reader;
  }
  // In 128 bits: a size times a number of parts.
  const auto border = [&](int i) { return static_cast<int64_t>(__int128{size} * i / parts); };
  const int64_t end = border(part + 1);
  int64_t begin = border(part);
  if (begin > 0 && begin < end) {
    // The line that the byte before belongs to is another part's.
    std::vector<char> piece(kPiece);
    for (int64_t at = begin - 1;; at += static_cast<int64_t>(kPiece)) {
      if (at >= end) {
        begin = end;
        break;
      }
      const size_t some = static_cast<size_t>(std::min<int64_t>(kPiece, size - at));
      PARLEY_RETURN_IF_ERROR(file->ReadAt(at, piece.data(), some));
      const void* const newline = std::memchr(piece.data(), '\n', some);
      if (newline == nullptr) continue;
      begin = at + (static_cast<const char*>(newline) - piece.data()) + 1;
      break;
    }
  }
  return std::unique_ptr<LineReader>(new LineReader(std::move(file), path, begin, end));
}

absl::Status LineReader::Fill() {
  if (next_ > 0) {
    text_.erase(0, next_);
    text_at_ += static_cast<int64_t>(next_);
    next_ = 0;
  }
  const size_t most = gunzip_ == nullptr ? kPiece : kPackedPiece;
  const size_t size = static_cast<size_t>(std::min<int64_t>(most, file_->size() - read_));
  if (gunzip_ == nullptr) {
    const size_t before = text_.size();
    text_.resize(before + size);
    PARLEY_RETURN_IF_ERROR(file_->ReadAt(read_, &text_[before], size));
  } else {
    std::string packed(size, '\0');
    PARLEY_RETURN_IF_ERROR(file_->ReadAt(read_, &packed[0], size));
    const absl::Status unpacked = gunzip_->Add(packed, &text_);
    if (!unpacked.ok()) return Annotate(unpacked, path_);
  }
  read_ += static_cast<int64_t>(size);
  ended_ = read_ == file_->size();
  if (ended_ && gunzip_ != nullptr && !gunzip_->member_ended()) {
    return absl::DataLossError(absl::StrCat(path_, ": its gzip is truncated"));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> LineReader::NextOfFile(absl::string_view* line) {
  if (text_at_ + static_cast<int64_t>(next_) >= end_ && gunzip_ == nullptr) return false;
  size_t searched = 0;  // bytes from next_ on without a newline
  for (;;) {
    const absl::string_view rest = absl::string_view(text_).substr(next_);
    size_t length = rest.find('\n', searched);
    const bool whole = length != absl::string_view::npos;
    if (!whole) length = rest.size();
    if (!whole && !ended_) {
      searched = length;
      if (length > kMostBytes) {  // what has been read of it is of no use
        too_long_ = true;
        next_ += length;
        searched = 0;
      }
      PARLEY_RETURN_IF_ERROR(Fill());
      continue;
    }
    if (!whole && length == 0 && !too_long_) return false;
    next_ += length + (whole ? 1 : 0);
    ++lines_;
    if (too_long_ || length > kMostBytes) {
      too_long_ = false;
      PARLEY_ASSIGN_OR_RETURN(const int64_t number, LineNumber());
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ":", number, ":1: the line has more than ", kMostBytes, " bytes"));
    }
    *line = rest.substr(0, length);
    if (!line->empty() && line->back() == '\r') line->remove_suffix(1);
    return true;
  }
}

absl::StatusOr<bool> LineReader::Next(absl::string_view* line) {
  for (;;) {
    const int64_t before = lines_;
    absl::StatusOr<bool> more = NextOfFile(line);
    const bool passed = lines_ > before;  // also of a line that is too long
    if (gunzip_ == nullptr || !passed || (lines_ - 1) % parts_ == part_) return more;
  }
}

absl::StatusOr<int64_t> LineReader::LineNumber() const {
  if (gunzip_ != nullptr || begin_ == 0) return lines_;
  PARLEY_ASSIGN_OR_RETURN(const int64_t before, CountLines(*file_, begin_));
  return before + lines_;
}

}  // namespace parley::data
