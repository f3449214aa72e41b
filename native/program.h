// A cell program as throughtime/runtime/planning lays it out: where its numbers lie, and what is done between
// two barriers. plans.h reads one.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "packed.h"
#include "recurrent_layer.h"
#include "team.h"

namespace throughtime {

// The bases of a slot, in the order of throughtime/runtime/planning/layout.py.
enum Base : int { kProjected = 1, kScratch, kConstant, kInput, kState };

// A row that products read.
struct ProgramSource {
  LanePlace place;
  int size;
};

// Some rows of products: a matrix for the units from `unit` on, the rows of one product below those of
// another.
struct ProgramSegment {
  int source;
  int unit;
  int rows, columns;
  const float* weights;  // has to outlive the layer's construction only
};

// Products that share one pass over their blocks; block b of product g lies at b * stride + g * 16.
struct ProgramProduct {
  LanePlace place;
  int units;
  std::vector<ProgramSegment> segments;
  std::vector<float> bias;  // in the order of the blocks; empty where there is none
};

// What the threads share out by units.
struct ProgramLanes {
  int blocks;
  int grain;  // blocks that stay together: 2 where a product of one matrix is among them
  std::vector<int> products;
  std::vector<LaneInstruction> instructions;
  int registers;
};

enum class RowKind : int { kCopy, kGather, kSum, kMax, kNormalise };

// Work on a whole row of one slot.
struct ProgramRow {
  RowKind kind;
  LanePlace source, target;
  int count;   // elements of the result; of kNormalise: groups
  int length;  // of a group that is summed, searched or normalised
  int extra;  // kGather: where its numbers begin in `index`; kNormalise: where epsilon is among the constants
};

struct ProgramPhase {
  std::vector<int> sources;
  std::vector<ProgramLanes> lanes;
  std::vector<ProgramRow> rows;
};

using Schedule = std::vector<ProgramPhase>;

struct ProgramSpec {
  int input_size = 0;
  std::vector<int> state_sizes;
  int output_size = 0;
  LanePlace output{};
  int projected_floats = 0, scratch_floats = 0;
  std::vector<float> constants;
  std::vector<int> index;
  std::vector<ProgramSource> sources;
  std::vector<ProgramProduct> products;
  Schedule project, step, fused;
};

class ProgramLayer : public RecurrentLayer {
 public:
  struct Workspace : Room {
    std::vector<Prepared> prepared;  // one a source
    Buffer<float> projected, scratch, registers;
    std::vector<float*> bases;  // of each slot, for each member where few slots are made ready apart
  };

  // Throws std::invalid_argument where something would lie outside its memory.
  ProgramLayer(const ProgramSpec& spec, Precision precision, const Kernels& kernels);

  std::size_t projected_floats() const override { return static_cast<std::size_t>(spec_.projected_floats); }
  bool needs_projection() const override { return false; }
  std::size_t weight_bytes(bool with_input = true) const override;
  std::unique_ptr<Room> room() const override { return std::make_unique<Workspace>(); }
  void reserve(Room& room, std::size_t slots, std::size_t rows, int members) const override;
  void project(const Member& member, Room& room, std::size_t rows, const float* const* x,
               float* projected) const override;
  void ready(const Member& member, Room& room, std::size_t n, float* const* states) const override;
  void step(const Member& member, Room& room, std::size_t n, const float* const* start, const float* const* x,
            float* const* states) const override;
  const float* output(const Member& member, const Room& room, std::size_t n, std::size_t slot,
                      float* const* states) const override;
  int output_part() const override;
  std::size_t output_offset() const override { return static_cast<std::size_t>(spec_.output.offset); }

 private:
  void run(const Member& member, Workspace& workspace, const Schedule& schedule, std::size_t n,
           const Readying& mine, bool states_ready) const;
  void prepare(Workspace& workspace, int source, std::size_t slot, const Readying& mine,
               const float* row) const;
  void run_lanes(const Member& member, Workspace& workspace, const ProgramLanes& lanes, std::size_t n,
                 const Readying& mine) const;
  void run_row(const ProgramRow& row, float* const* bases) const;
  // The bases of a slot, where this member has them.
  float** bases(Workspace& workspace, const Readying& mine, std::size_t slot) const {
    return workspace.bases.data() + (mine.place + slot) * base_count_;
  }
  void pack(Precision precision);
  void check() const;

  ProgramSpec spec_;
  std::vector<std::vector<PackedMatrix>> matrices_;  // of each product's segments
  const Kernels& kernels_;
  std::size_t base_count_;
  int most_registers_ = 1;
  std::vector<const PackedView*> reader_;  // a matrix that reads each source: all have the same columns
};

}  // namespace throughtime
