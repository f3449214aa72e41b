// A cell program as runtime/plan.py lays it out: where its numbers lie, and what is done between two barriers.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "packed.h"
#include "team.h"

namespace throughtime {

// The bases of a slot, in the order of runtime/plan.py.
enum Base : int { kProjected = 1, kScratch, kConstant, kInput, kState };

// A row that products read.
struct ProgramSource {
  LanePlace place;
  int size;
};

// Some rows of a product: a packed matrix for the units from `unit` on.
struct ProgramSegment {
  int source;
  int unit;
  PackedMatrix matrix;
};

// Products that share one pass over their blocks; block b of product g lies at b * stride + g * 16.
struct ProgramProduct {
  LanePlace place;
  int units;
  std::vector<ProgramSegment> segments;
  Buffer<float> bias;  // in the order of the blocks; empty where there is none
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
  int extra;   // kGather: where its numbers begin in `index`; kNormalise: where epsilon is among the constants
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
  Buffer<float> constants;
  std::vector<int> index;
  std::vector<ProgramSource> sources;
  std::vector<ProgramProduct> products;
  Schedule project, step, fused;
};

// What steps need besides their states; one for each call that runs.
struct ProgramWorkspace {
  std::vector<Prepared> prepared;  // one a source
  Buffer<float> projected, scratch, registers;
  std::vector<float*> bases;  // of each slot
};

class ProgramLayer {
 public:
  // Throws std::invalid_argument where something would lie outside its memory.
  ProgramLayer(ProgramSpec spec, Precision precision, const Kernels& kernels);

  int input_size() const { return spec_.input_size; }
  int output_size() const { return spec_.output_size; }
  std::size_t parts() const { return spec_.state_sizes.size(); }
  int state_size(std::size_t part) const { return spec_.state_sizes[part]; }
  // Floats of a part of the state, or of an input or output, in memory.
  static int padded(int size) { return (size + 2 * kLanes - 1) / (2 * kLanes) * (2 * kLanes); }
  // Floats of what `project` writes for one input.
  int projected_floats() const { return spec_.projected_floats; }
  std::size_t weight_bytes(bool with_input) const;

  // Room for steps of so many slots, and projections of so many rows, by so many members of a team.
  void reserve(ProgramWorkspace& workspace, std::size_t slots, std::size_t rows, int members) const;

  // projected[row] (projected_floats each) from x[row] (padded(input_size)). All members call it; it ends with a
  // barrier.
  void project(const Member& member, ProgramWorkspace& workspace, std::size_t rows, const float* const* x,
               float* projected) const;

  // Makes the old states ready that the first phase multiplies. A barrier has to follow before any state changes.
  //   states  for each part and slot padded(state_size) floats: states[part * n + slot]
  void ready(const Member& member, ProgramWorkspace& workspace, std::size_t n, float* const* states) const;

  // One step of n slots, in place, after `ready` and a barrier. All members call it; it ends with a barrier.
  //   start  for each slot a row of `project`, or null: then x holds the inputs
  void step(const Member& member, ProgramWorkspace& workspace, std::size_t n, const float* const* start,
            const float* const* x, float* const* states) const;

  // Where a slot's output lies after a step: in its state, or in the workspace. For `member`, of n slots.
  const float* output(const Member& member, const ProgramWorkspace& workspace, std::size_t n,
                      std::size_t slot) const;

 private:
  void run(const Member& member, ProgramWorkspace& workspace, const Schedule& schedule, std::size_t n,
           const Readying& mine, bool states_ready) const;
  void prepare(ProgramWorkspace& workspace, int source, std::size_t slot, const Readying& mine,
               const float* row) const;
  void run_lanes(const Member& member, ProgramWorkspace& workspace, const ProgramLanes& lanes, std::size_t n,
                 const Readying& mine) const;
  void run_row(const ProgramRow& row, float* const* bases) const;
  // The bases of a slot, where this member has them.
  float** bases(ProgramWorkspace& workspace, const Readying& mine, std::size_t slot) const {
    return workspace.bases.data() + (mine.place + slot) * base_count_;
  }
  void check() const;

  ProgramSpec spec_;
  const Kernels& kernels_;
  Precision precision_;
  std::size_t base_count_;
  int most_registers_ = 1;
  std::vector<const PackedView*> reader_;  // a matrix that reads each source: all have the same columns
};

}  // namespace throughtime
