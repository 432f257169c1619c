#include "ps/table/rocksdb_row_spill.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/slice.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/env.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr size_t kWriteBuffer = size_t{16} << 20;
constexpr size_t kBlockCache = size_t{16} << 20;

// Big-endian, so that RocksDB's order is that of virtual shards and their keys.
struct Key {
  explicit Key(const RowSpill::Name& name) {
    for (int i = 0; i < 4; ++i) bytes[i] = static_cast<char>(name.virtual_shard >> (24 - 8 * i));
    for (int i = 0; i < 8; ++i) bytes[4 + i] = static_cast<char>(name.key >> (56 - 8 * i));
  }
  rocksdb::Slice slice() const { return {bytes.data(), bytes.size()}; }

  std::array<char, 12> bytes;
};

uint64_t RowKey(const rocksdb::Slice& bytes) {
  uint64_t key = 0;
  for (size_t i = 4; i < 12; ++i) key = key << 8 | static_cast<unsigned char>(bytes[i]);
  return key;
}

class RocksDbRowSpill final : public RowSpill {
 public:
  RocksDbRowSpill(std::string folder, size_t row_bytes, rocksdb::Options options)
      : folder_(std::move(folder)), row_bytes_(row_bytes), options_(std::move(options)) {
    write_.disableWAL = true;
    read_.verify_checksums = true;
  }
  ~RocksDbRowSpill() override {
    if (db_ == nullptr) return;
    db_ = nullptr;
    rocksdb::DestroyDB(folder_, options_).PermitUncheckedError();
  }

  absl::Status Open() {
    rocksdb::DB* db = nullptr;
    rocksdb::Status opened = rocksdb::DestroyDB(folder_, options_);
    if (opened.ok()) opened = rocksdb::DB::Open(options_, folder_, &db);
    db_.reset(db);
    return ToAbsl(opened);
  }

  absl::Status Put(absl::Span<const Name> names, absl::Span<const std::byte* const> rows) override {
    rocksdb::WriteBatch batch(names.size() * (row_bytes_ + 20));
    for (size_t i = 0; i < names.size(); ++i) {
      const rocksdb::Slice row(reinterpret_cast<const char*>(rows[i]), row_bytes_);
      const rocksdb::Status added = batch.Put(Key(names[i]).slice(), row);
      if (!added.ok()) return ToAbsl(added);
    }
    return ToAbsl(db_->Write(write_, &batch));
  }

  absl::Status Get(absl::Span<const Name> names, std::vector<bool>* found,
                   std::byte* out) const override {
    const size_t count = names.size();
    found->assign(count, false);
    std::vector<Key> keys;
    std::vector<rocksdb::Slice> slices;
    keys.reserve(count);
    slices.reserve(count);
    for (const Name& name : names) slices.push_back(keys.emplace_back(name).slice());
    std::vector<rocksdb::PinnableSlice> values(count);
    std::vector<rocksdb::Status> statuses(count);
    db_->MultiGet(read_, db_->DefaultColumnFamily(), count, slices.data(), values.data(),
                  statuses.data(), /*sorted_input=*/true);
    for (size_t i = 0; i < count; ++i) {
      if (statuses[i].IsNotFound()) continue;
      if (!statuses[i].ok()) return ToAbsl(statuses[i]);
      if (values[i].size() != row_bytes_) return WrongSize(values[i].size());
      std::memcpy(out + i * row_bytes_, values[i].data(), row_bytes_);
      (*found)[i] = true;
    }
    return absl::OkStatus();
  }

  absl::Status Erase(absl::Span<const Name> names) override {
    rocksdb::WriteBatch batch;
    for (const Name& name : names) {
      const rocksdb::Status added = batch.Delete(Key(name).slice());
      if (!added.ok()) return ToAbsl(added);
    }
    return ToAbsl(db_->Write(write_, &batch));
  }

  absl::Status ForEach(
      uint32_t virtual_shard,
      absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit) const override {
    const Key begin(Name{virtual_shard, 0});
    const Key end(Name{virtual_shard + 1, 0});  // a virtual shard is below 2^16
    const rocksdb::Slice upper = end.slice();
    rocksdb::ReadOptions options = read_;
    options.iterate_upper_bound = &upper;
    options.fill_cache = false;
    const std::unique_ptr<rocksdb::Iterator> iterator(db_->NewIterator(options));
    for (iterator->Seek(begin.slice()); iterator->Valid(); iterator->Next()) {
      const rocksdb::Slice row = iterator->value();
      if (row.size() != row_bytes_) return WrongSize(row.size());
      visit(RowKey(iterator->key()), reinterpret_cast<const std::byte*>(row.data()));
    }
    return ToAbsl(iterator->status());
  }

 private:
  absl::Status ToAbsl(const rocksdb::Status& status) const {
    if (status.ok()) return absl::OkStatus();
    const std::string message = absl::StrCat(folder_, ": ", status.ToString());
    if (status.IsNoSpace()) return absl::ResourceExhaustedError(message);
    if (status.IsCorruption()) return absl::DataLossError(message);
    return absl::UnavailableError(message);
  }
  absl::Status WrongSize(size_t size) const {
    return absl::DataLossError(
        absl::StrCat(folder_, ": a row has ", size, " bytes, not ", row_bytes_));
  }

  const std::string folder_;
  const size_t row_bytes_;
  const rocksdb::Options options_;
  rocksdb::WriteOptions write_;
  rocksdb::ReadOptions read_;
  std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RowSpill>> NewRocksDbRowSpill(const std::string& folder,
                                                             size_t row_bytes) {
  PARLEY_RETURN_IF_ERROR(Env::Posix()->CreateFolders(folder));
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(kBlockCache);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
  rocksdb::Options options;
  options.create_if_missing = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = rocksdb::kNoCompression;  // numbers that hardly shrink
  options.write_buffer_size = kWriteBuffer;
  options.max_write_buffer_number = 3;
  options.memtable_prefix_bloom_size_ratio = 0.02;
  options.memtable_whole_key_filtering = true;
  options.max_open_files = 256;
  options.keep_log_file_num = 1;
  options.stats_dump_period_sec = 0;
  options.info_log_level = rocksdb::FATAL_LEVEL;
  auto spill = std::make_unique<RocksDbRowSpill>(folder, row_bytes, std::move(options));
  PARLEY_RETURN_IF_ERROR(spill->Open());
  return spill;
}

}  // namespace parley
