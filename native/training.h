// A step that is trained, forward or backward, over all steps of a chunk: what runtime/planning/training.py
// lays out.
//
// Every value is a matrix with a row for each sequence. Weights are packed once a call, then the steps follow
// one another: in each, phases that barriers part. In a phase of units a member multiplies its share of the
// rows of the weights with the whole batch, so that its share stays in its cache, and runs the pointwise work
// on what it has multiplied; in a phase of rows it takes its share of the sequences.
//
// With bf16 the weights are packed as bf16, and each member rounds the rows that it multiplies; sums, and all
// that is no product, stay fp32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "team.h"

namespace throughtime {

// Where a value lies: base kRegister, kBatchScratch, kBatchConstant, or kBatchFirst and the number of an
// input or output.
inline constexpr int kBatchScratch = 1, kBatchConstant = 2, kBatchFirst = 3;

struct BatchPlace {
  int base;
  std::ptrdiff_t block;  // scratch: floats of one sequence before it; the batch's are as many times that
  std::ptrdiff_t start;
  int stride, step;
  bool exact;
};

struct BatchInstruction {
  LaneOperation operation;
  BatchPlace target, operands[3];
};

struct BatchMatrix {
  int weight;
  std::ptrdiff_t start, down, right;  // the first element, and the steps to the next row and column
};

struct BatchSegment {
  BatchPlace source;
  int unit, rows, columns;
  std::vector<BatchMatrix> matrices;  // one a product of the group
};

struct BatchGroup {
  int units;
  std::vector<BatchSegment> segments;
  std::vector<BatchPlace> places;  // of each product's result, rows filled up to 32 floats
};

struct BatchLanes {
  int size;
  std::vector<int> groups;
  std::vector<BatchInstruction> instructions;
  int registers;
};

enum class BatchWork : std::uint8_t { kLanes, kSum, kMax, kGather };

struct BatchRows {
  BatchWork kind;
  BatchLanes lanes;  // kLanes
  BatchPlace source, target;
  int size, length, index;
};

struct BatchPhase {
  std::vector<BatchLanes> units;
  std::vector<BatchRows> rows;
};

struct BatchConstant {
  std::ptrdiff_t at;
  std::vector<float> numbers;
  struct Run {
    int weight;
    std::ptrdiff_t start;
    int count;
  };
  std::vector<Run> runs;
};

struct TrainingSpec {
  std::vector<int> inputs, outputs;  // floats a row
  std::ptrdiff_t scratch, constant_floats;
  std::vector<BatchConstant> constants;
  std::vector<BatchGroup> groups;
  std::vector<BatchPhase> phases;
  std::vector<int> index;
};

// Where an input or output lies at each step: at data + (t + shift) * stride where that step exists, else at
// `outside`. Where `other` is given, data and other take turns: what one step writes the next one reads.
struct Sequence {
  float* data;
  std::ptrdiff_t stride;
  int shift;
  float* outside;
  float* other;
};

class TrainingStep {
 public:
  // Throws std::invalid_argument where the plan does not fit itself. Products are fp32 or bf16.
  explicit TrainingStep(TrainingSpec spec, const Kernels& kernels = throughtime::kernels(),
                        Precision precision = Precision::kFloat32);

  const TrainingSpec& spec() const { return spec_; }
  std::size_t sequences() const { return spec_.inputs.size() + spec_.outputs.size(); }
  // How many threads are worth their barriers for so many sequences.
  int members_of(int batch) const;

  // Runs all steps. Safe to call from several threads at once.
  void run(const std::vector<const float*>& weights, const std::vector<Sequence>& sequences, int steps,
           int batch, bool backward, int threads) const;

 private:
  struct Call;
  void check() const;
  void pack(Call& call, const Member& member, const std::vector<const float*>& weights) const;
  void pack_pairs(std::uint32_t* panel, int vectors, int step, int number, const BatchSegment& segment,
                  const std::vector<const float*>& weights) const;
  void run_units(Call& call, const Member& member, std::size_t phase) const;
  void run_rows(Call& call, const Member& member, std::size_t phase) const;

  TrainingSpec spec_;
  const Kernels& kernels_;
  Precision precision_;
  double work_ = 0;  // multiply-adds of one sequence's step
};

// Memory for calls that follow one another: what one gives back the next one takes, without asking the system
// for pages again.
class Arena {
 public:
  // At least so many floats, of any content.
  Buffer<float> take(std::size_t floats);
  void give(Buffer<float>&& buffer);

 private:
  std::mutex mutex_;
  std::vector<Buffer<float>> free_;
  std::size_t held_ = 0;
};

Arena& arena();

}  // namespace throughtime
