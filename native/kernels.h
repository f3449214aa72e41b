// What the inner loops do, and the table of their versions: one for each instruction set, picked at run time.
//
// Plain structs and pointers only: the files that implement this are compiled for wider instructions, and
// an inline function of the standard library in one of them could be linked into code for every CPU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace throughtime {

enum class Precision : std::uint8_t { kFloat32, kBfloat16, kInt8 };

enum class CellKind : std::uint8_t { kRnn, kLstm, kGru };

// Weights are packed in blocks of rows: `vectors` groups of 16 rows each, as many as the cell has gates, so
// that the gates of 16 units lie beside each other and one pass over a block yields everything their update
// needs. Within a block the columns follow one another; a column of a group is 16 lanes of 4 bytes:
//
//   fp32   one weight a lane
//   bf16   two weights a lane, of neighbouring columns
//   int8   four weights a lane, of neighbouring columns
//
// Block layout: [columns / per_lane][vectors][16 lanes][per_lane]. Rows and columns that do not exist are 0.
inline constexpr int kLanes = 16;
inline constexpr int kMaxVectors = 4;

struct PackedView {
  const std::uint32_t* weights;
  const float* scales;              // int8: what a weight of each row counts; rows in block order
  const std::int32_t* corrections;  // int8: 128 times the sum of each row's weights
  std::size_t block_lanes;          // 4-byte lanes of one block
  int blocks;
  int vectors;
  int groups;  // columns / per_lane
  Precision precision;
};

// A batch of vectors, prepared for products of one precision: fp32 as they are, bf16 rounded to nearest even,
// int8 as round(x / scale) + 128 in an unsigned byte with scale = max |x| / 127 for each vector by itself.
struct PreparedView {
  std::uint32_t* lanes;  // a vector after the other
  std::size_t stride;    // lanes from one to the next
  float* scales;         // int8, one a vector
};

// One step of one recurrent layer for a batch of slots.
struct CellStep {
  CellKind kind;
  bool relu;                    // RNN
  bool coupled;                 // LSTM: gates i, g, o and f = 1 - i
  bool keeps_hidden;            // zoneout mixes the hidden state here (not where a projection follows)
  float keep_hidden;            // zoneout: share of the old hidden state
  float keep_cell;              // zoneout: share of the old cell state
  const PackedView* input;      // W_ih, or null where `start` holds its share already
  const PackedView* recurrent;  // W_hh
  PreparedView x;
  PreparedView h;
  const float* const* start;  // for each slot: pre-activations to begin with, block order (b_ih, W_ih x ...)
  const float* recurrent_bias;  // GRU: b_hh in block order
  const float* peephole;        // LSTM: [unit group of 16][p_i, p_f, p_o or p_i, p_o][16], or null
  float* const* hidden;  // for each slot: the hidden state; old values where zoneout or a GRU needs them
  float* const* cell;    // for each slot: the cell state, LSTM
  float* const* output;  // for each slot: where the new hidden state goes; may be `hidden`
};

// Where the operand of a lane instruction lies: block b of it at base + offset + b * stride.
struct LanePlace {
  int base;  // an index among the bases of a slot; kRegister: `offset` is the register's number
  int stride;
  std::ptrdiff_t offset;
};

enum class LaneOperation : std::uint8_t {
  kCopy,
  kNegative,
  kAbsolute,
  kExp,
  kLog,
  kSquareRoot,
  kSigmoid,
  kTanh,
  kRelu,
  kSoftplus,
  kErf,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kLarger,
  kSmaller,
  kLess,
  kLessEqual,
  kEqual,
  kAnd,
  kOr,
  kNot,
  kWhere,
  kMultiplyAdd,
  kCount,
};

// One operation on 16 units at a time. What is true is 1, what is false 0.
struct LaneInstruction {
  LaneOperation operation;
  LanePlace target, operands[3];
};

inline constexpr int kRegister = 0;
// Blocks that go through all instructions together: enough to make the choice of an operation cheap, few
// enough that the registers stay in the first cache.
inline constexpr int kBlocksTogether = 8;

// ---- training: whole batches of rows, as native/training.h has them

// Rows of a matrix times rows of a batch. Panels of `vectors` groups of 16 rows each; within a panel the
// columns follow one another, and a column is [vectors][16]. Panel p's group g goes to out[g] + p *
// unit_step. Lane: float, or for bf16 std::uint32_t, which holds two neighbouring columns, the first one low.
template <class Lane>
struct ProductOfPanels {
  const Lane* panels;
  int columns;  // lanes of a row of the batch
  int vectors;  // 1 to kMaxVectors
  int unit_step;
  const Lane* x;
  std::ptrdiff_t x_stride;  // lanes from one row of the batch to the next
  float* out[kMaxVectors];
  std::ptrdiff_t out_stride;
};
using PanelProduct = ProductOfPanels<float>;
struct PairProduct : ProductOfPanels<std::uint32_t> {
  std::ptrdiff_t x_step;  // lanes from one pair of columns to the next
  bool adds;              // to what stands in `out`
};

// Where an operand of a batch lies: element c of row r at bases[base] + offset + r * stride + c * step.
struct TilePlace {
  int base;  // kRegister: `offset` is the register's number
  int step;  // 0: one number for all columns; with stride 0 it stands there kTileFloats times
  int stride;
  bool exact;  // what lies behind a row belongs to others: it is neither read nor written
  std::ptrdiff_t offset;
};

struct TileInstruction {
  LaneOperation operation;
  TilePlace target, operands[3];
};

// Elements that go through all instructions together: whole rows where they are short, else a part of one.
inline constexpr int kTileFloats = 256;
// Registers beside those of the instructions, for operands that do not lie as the loops need them.
inline constexpr int kSpareRegisters = 4;

struct Kernels {
  const char* name;

  // out[slot][row] += the product, for rows in block order of the blocks [begin, end); out has a stride in
  // floats and is aligned to 4 bytes only.
  void (*accumulate)(const PackedView& weights, const PreparedView& inputs, int slots, int begin, int end,
                     float* out, std::size_t stride);

  // The products and the cell's update for the unit groups of the blocks [begin, end).
  void (*step_cell)(const CellStep& step, int slots, int begin, int end);

  // Runs instructions on the blocks [begin, end) of one slot. registers: kBlocksTogether * 16 floats for
  // each.
  void (*run_lanes)(const LaneInstruction* instructions, int count, float* const* bases, int begin, int end,
                    float* registers);

  // The products of the panels [begin, end) with `rows` rows of a batch, of floats and of pairs of bf16.
  void (*multiply_panels)(const PanelProduct& product, int rows, int begin, int end);
  void (*multiply_pairs)(const PairProduct& product, int rows, int begin, int end);

  // Runs instructions on the columns [begin, end) of the rows [first, last). registers: kTileFloats floats
  // for each, and for kSpareRegisters more.
  void (*run_tiles)(const TileInstruction* instructions, int count, float* const* bases, int first, int last,
                    int begin, int end, float* registers);

  // The sum and the largest of n numbers; NaN where one is.
  float (*sum)(const float* values, int n);

  // Of n logits, n >= 1: the largest, then the sums of e and of e d with d = logit - largest and e = exp(d),
  // which is what a softmax's normaliser and entropy need. NaN where one is.
  void (*softmax_sums)(const float* logits, int n, float* sums);

  // Turns n logits, n >= 1, into scale * softmax - shift, in place. sums: the largest, and the sums of e and
  // of d as above. NaN where one is.
  void (*softmax_gradient)(float* logits, int n, float scale, float shift, float* sums);

  // Dropout of the elements [first, first + count) of a tensor, which lie at `from`: to[k] is 0 where the
  // random number of element first + k is below `threshold`, else from[k] * scale. Element 64 g + 16 w + l
  // has word w of Philox4x32-10 with the counter 16 g + l (Salmon et al. 2011), whoever computes it.
  void (*drop)(const float* from, float* to, std::size_t first, std::size_t count, const std::uint32_t* key,
               std::uint32_t threshold, float scale);

  // Prepares one vector: `size` floats into `lanes` lanes, the rest filled with zeros.
  void (*prepare)(Precision precision, const float* values, int size, std::uint32_t* lanes, int lane_count,
                  float* scale);

  // Two rows of n floats as n pairs of bf16, the first row's low; where `second` is null its half is 0.
  void (*pair_rows)(const float* first, const float* second, int n, std::uint32_t* pairs);

  // Elementwise, n a multiple of 16, in place.
  void (*sigmoid)(float* values, std::size_t n);
  void (*tanh)(float* values, std::size_t n);
  void (*exp)(float* values, std::size_t n);

  // The sum of n 4-byte lanes, n a multiple of 64: what reading the weights costs at least.
  std::uint32_t (*read)(const std::uint32_t* lanes, std::size_t n);
};

// The widest version that this CPU runs, or the one that THROUGHTIME_ISA names: scalar, avx2, avx512,
// avx512_vnni, avx512_bf16, neon. Throws std::runtime_error where the CPU lacks it or the name is unknown.
const Kernels& kernels();

// The names that this CPU can run, narrowest first, separated by spaces.
const char* available_kernels();

// A version by its name, for tests; throws as `kernels` does.
const Kernels& kernels_named(const char* name);

}  // namespace throughtime
