// The pointwise parts of training on tiles of a batch, and sums of rows. Included by kernels_impl.h only.
#pragma once

struct Tile {
  int first, rows, begin, count;  // columns [begin, begin + count) of rows [first, first + rows)
  int width;                      // count, filled up to whole groups of 16
};

inline void copy_numbers(const float* from, int count, float* to) {
  __builtin_memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
}

// Where the loops find an operand: as it lies, or copied into a spare register.
inline LaneRow tile_source(const TilePlace& place, const Tile& tile, float* const* bases, float* registers,
                           float* spare) {
  if (place.base == kRegister) return {registers + place.offset * kTileFloats, kLanes, tile.width};
  float* at = bases[place.base] + place.offset + static_cast<std::ptrdiff_t>(tile.first) * place.stride;
  if (place.step == 0) {
    if (place.stride == 0) return {at, kLanes, tile.width};
    for (int row = 0; row < tile.rows; ++row) {
      const F value = set(at[static_cast<std::ptrdiff_t>(row) * place.stride]);
      for (int c = 0; c < tile.width; c += W) store(spare + row * tile.width + c, value);
    }
    return {spare, kLanes, tile.width};
  }
  at += tile.begin;
  if (!place.exact || tile.count == tile.width) return {at, kLanes, place.stride};
  for (int row = 0; row < tile.rows; ++row) {
    float* to = spare + row * tile.width;
    copy_numbers(at + static_cast<std::ptrdiff_t>(row) * place.stride, tile.count, to);
    for (int c = tile.count; c < tile.width; ++c) to[c] = 0.0f;
  }
  return {spare, kLanes, tile.width};
}

inline void run_tile(const TileInstruction& one, const Tile& tile, float* const* bases, float* registers,
                     float* spare) {
  LaneRow operands[3];
  for (int k = 0; k < 3; ++k)
    operands[k] = tile_source(one.operands[k], tile, bases, registers, spare + k * kTileFloats);
  LaneRow out{registers + one.target.offset * kTileFloats, kLanes, tile.width};
  float* memory = nullptr;
  if (one.target.base != kRegister) {
    memory = bases[one.target.base] + one.target.offset +
             static_cast<std::ptrdiff_t>(tile.first) * one.target.stride + tile.begin;
    if (!one.target.exact || tile.count == tile.width) {
      out = {memory, kLanes, one.target.stride};
      memory = nullptr;
    } else {
      out = {spare + 3 * kTileFloats, kLanes, tile.width};
    }
  }
  const bool flat = out.row == tile.width && operands[0].row == tile.width && operands[1].row == tile.width &&
                    operands[2].row == tile.width;
  const int blocks = tile.width / kLanes;
  run_operation(one.operation, flat ? LaneSize{1, tile.rows * blocks} : LaneSize{tile.rows, blocks}, out,
                operands[0], operands[1], operands[2]);
  if (memory != nullptr)
    for (int row = 0; row < tile.rows; ++row)
      copy_numbers(out.at + row * tile.width, tile.count,
                   memory + static_cast<std::ptrdiff_t>(row) * one.target.stride);
}

void run_tiles(const TileInstruction* instructions, int count, float* const* bases, int first, int last,
               int begin, int end, float* registers) {
  int most = 0;
  for (int k = 0; k < count; ++k)
    if (instructions[k].target.base == kRegister && instructions[k].target.offset >= most)
      most = static_cast<int>(instructions[k].target.offset) + 1;
  float* spare = registers + static_cast<std::size_t>(most) * kTileFloats;
  for (int column = begin; column < end; column += kTileFloats) {
    Tile tile{};
    tile.begin = column;
    tile.count = end - column < kTileFloats ? end - column : kTileFloats;
    tile.width = (tile.count + kLanes - 1) / kLanes * kLanes;
    const int together = kTileFloats / tile.width;
    for (int row = first; row < last; row += together) {
      tile.first = row;
      tile.rows = last - row < together ? last - row : together;
      for (int k = 0; k < count; ++k) run_tile(instructions[k], tile, bases, registers, spare);
    }
  }
}

// Four chains of vectors, then one number: the same for any number of threads, as a row is one thread's.
float sum_all(const float* values, int n) {
  constexpr int kAtOnce = 4;
  F sums[kAtOnce];
  for (F& sum : sums) sum = set(0.0f);
  int k = 0;
  for (; k + kAtOnce * W <= n; k += kAtOnce * W)
    for (int s = 0; s < kAtOnce; ++s) sums[s] = add(sums[s], load(values + k + s * W));
  float each[W];
  store(each, add(add(sums[0], sums[1]), add(sums[2], sums[3])));
  float total = 0;
  for (float one : each) total += one;
  for (; k < n; ++k) total += values[k];
  return total;
}
