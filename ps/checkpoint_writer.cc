#include "ps/checkpoint_writer.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "net/checkpoint_folder.h"
#include "ps/checkpoint_format.h"

namespace parley {
namespace {

absl::StatusOr<v1::ShardHeader> MakeHeader(const Job& job, int shard, int64_t step,
                                           absl::Span<const SavedBlock> blocks) {
  v1::ShardHeader header;
  *header.mutable_spec() = job.spec();
  header.set_shard_index(shard);
  header.set_step(step);
  for (const SavedBlock& saved : blocks) {
    const BlockInfo& info = job.blocks()[saved.number];
    const std::string& parameter = job.parameters()[info.parameter].name;
    const int64_t version = saved.cut.values.version;
    if (std::min(version, step) < job.LockstepRounds(info.parameter) && version != step) {
      return absl::FailedPreconditionError(
          absl::StrCat("a checkpoint of step ", step, " of the synchronous job ", job.name(),
                       ": a block of parameter ", parameter, " is at version ", version));
    }
    v1::ShardHeader::Block* block = header.add_blocks();
    block->set_block(saved.number);
    block->set_parameter(parameter);
    block->set_offset(info.offset);
    block->set_size(info.size);
    block->set_version(version);
    block->set_num_slots(saved.unchanged ? saved.num_slots
                                         : static_cast<int>(saved.cut.slots.size()));
    if (saved.unchanged) block->set_unchanged(true);
    if (saved.cut.rate_factor != 1) block->set_rate_factor(saved.cut.rate_factor);
    if (saved.clocks.empty() || PARLEY_PLANTED_BUG("checkpoint_forgets_the_clocks")) {
      for (int i = 0; i < job.spec().num_workers(); ++i) block->add_clocks(version);
    } else {
      for (const int64_t clock : saved.clocks) block->add_clocks(clock);
    }
  }
  return header;
}

absl::Status AddTables(const Job& job, int64_t step, absl::Span<const SavedTable> tables,
                       v1::ShardHeader* header) {
  for (size_t i = 0; i < tables.size(); ++i) {
    const SavedTable& saved = tables[i];
    const v1::TableSpec& spec = job.spec().tables(static_cast<int>(i));
    if (job.PolicyOfTable(static_cast<int>(i)).has_synchronous() && saved.version != step) {
      return absl::FailedPreconditionError(
          absl::StrCat("a checkpoint of step ", step, " of the synchronous job ", job.name(),
                       ": table ", spec.name(), " is at version ", saved.version));
    }
    v1::ShardHeader::Table* const table = header->add_tables();
    table->set_name(spec.name());
    table->set_version(saved.version);
    table->mutable_clocks()->Add(saved.clocks.begin(), saved.clocks.end());
    table->set_row_bytes(static_cast<int64_t>(saved.row_bytes));
    for (const SavedTable::VirtualShard& part : saved.virtual_shards) {
      v1::ShardHeader::Table::VirtualShard* const to = table->add_virtual_shards();
      to->set_virtual_shard(part.number);
      to->set_rows(static_cast<int64_t>(part.keys.size()));
    }
  }
  return absl::OkStatus();
}

absl::Status AppendArray(absl::Span<const float> values, AtomicFile* file) {
  PARLEY_RETURN_IF_ERROR(file->Append(values.data(), values.size() * sizeof(float)));
  return file->PadTo(kArrayAlignment);
}

}  // namespace

absl::StatusOr<v1::Manifest::ShardFile> WriteShard(Env* env, const std::string& folder,
                                                   const Job& job, int shard, int64_t step,
                                                   absl::Span<const SavedBlock> blocks,
                                                   ShardLogPlace log,
                                                   absl::Span<const SavedTable> tables,
                                                   BaseStep base) {
  PARLEY_ASSIGN_OR_RETURN(v1::ShardHeader header, MakeHeader(job, shard, step, blocks));
  PARLEY_RETURN_IF_ERROR(AddTables(job, step, tables, &header));
  if (base.has_value()) header.set_base_step(*base);
  header.set_log_id(PARLEY_PLANTED_BUG("checkpoint_forgets_its_log") ? 0 : log.log_id);
  header.set_log_segment(log.segment);
  PARLEY_ASSIGN_OR_RETURN(const std::string head, EncodeShardHeader(header));
  PARLEY_RETURN_IF_ERROR(env->CreateFolders(folder));
  const std::string name = ShardFileName(step, shard, job.spec().num_shards());
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file,
                          AtomicFile::Create(env, JoinPath(folder, name)));
  PARLEY_RETURN_IF_ERROR(file->Append(head.data(), head.size()));
  PARLEY_RETURN_IF_ERROR(file->PadTo(kArrayAlignment));
  for (const SavedBlock& saved : blocks) {
    if (saved.unchanged) continue;
    PARLEY_RETURN_IF_ERROR(AppendArray(saved.cut.values.span(), file.get()));
    for (const FloatBuffer& slot : saved.cut.slots) {
      const bool forgets = PARLEY_PLANTED_BUG("checkpoint_without_slots");
      PARLEY_RETURN_IF_ERROR(
          AppendArray(forgets ? saved.cut.values.span() : slot.span(), file.get()));
    }
  }
  for (const SavedTable& table : tables) {
    for (const SavedTable::VirtualShard& part : table.virtual_shards) {
      PARLEY_RETURN_IF_ERROR(file->Append(part.keys.data(), part.keys.size() * sizeof(uint64_t)));
      PARLEY_RETURN_IF_ERROR(file->PadTo(kArrayAlignment));
      const int64_t bytes = static_cast<int64_t>(part.keys.size() * table.row_bytes);
      PARLEY_RETURN_IF_ERROR(part.spool->Read(
          part.begin, bytes,
          [&](const void* data, size_t size) { return file->Append(data, size); }));
      PARLEY_RETURN_IF_ERROR(file->PadTo(kArrayAlignment));
    }
  }
  PARLEY_RETURN_IF_ERROR(file->Commit());
  v1::Manifest::ShardFile result;
  result.set_file(name);
  result.set_bytes(file->size());
  result.set_crc32c(file->crc32c());
  return result;
}

}  // namespace parley
