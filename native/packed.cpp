#include "packed.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

namespace throughtime {
namespace {

std::uint32_t bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

}  // namespace

Precision precision_named(const std::string& name) {
  if (name == "fp32") return Precision::kFloat32;
  if (name == "bf16") return Precision::kBfloat16;
  if (name == "int8") return Precision::kInt8;
  throw std::invalid_argument("precision '" + name + "' is unknown: use fp32, bf16 or int8");
}

int columns_per_lane(Precision precision) {
  return precision == Precision::kFloat32 ? 1 : precision == Precision::kBfloat16 ? 2 : 4;
}

std::vector<int> interleaved_rows(int gates, int hidden_size) {
  const int groups = (hidden_size + kLanes - 1) / kLanes;
  std::vector<int> order(static_cast<std::size_t>(groups) * gates * kLanes, -1);
  for (int unit = 0; unit < hidden_size; ++unit)
    for (int gate = 0; gate < gates; ++gate)
      order[(static_cast<std::size_t>(unit / kLanes) * gates + gate) * kLanes + unit % kLanes] =
          gate * hidden_size + unit;
  return order;
}

std::vector<int> plain_rows(int rows) {
  constexpr int kBlock = kPlainVectors * kLanes;
  std::vector<int> order(static_cast<std::size_t>((rows + kBlock - 1) / kBlock) * kBlock, -1);
  for (int row = 0; row < rows; ++row) order[static_cast<std::size_t>(row)] = row;
  return order;
}

PackedMatrix::PackedMatrix(const float* weights, int columns, const std::vector<int>& order, int vectors,
                           Precision precision)
    : columns_(columns) {
  const int per_lane = columns_per_lane(precision);
  const int groups = (columns + per_lane - 1) / per_lane;
  const int blocks = static_cast<int>(order.size()) / (vectors * kLanes);
  const std::size_t block_lanes = static_cast<std::size_t>(groups) * vectors * kLanes;
  weights_ = Buffer<std::uint32_t>(block_lanes * blocks);
  if (precision == Precision::kInt8) {
    scales_ = Buffer<float>(order.size());
    corrections_ = Buffer<std::int32_t>(order.size());
  }
  for (std::size_t row = 0; row < order.size(); ++row) {
    if (order[row] < 0) continue;
    const float* source = weights + static_cast<std::size_t>(order[row]) * columns;
    const std::size_t block = row / (vectors * kLanes), within = row % (vectors * kLanes);
    std::uint32_t* target = weights_.data() + block * block_lanes + within;
    const std::size_t stride = static_cast<std::size_t>(vectors) * kLanes;
    if (precision == Precision::kFloat32) {
      for (int k = 0; k < columns; ++k) target[k * stride] = std::bit_cast<std::uint32_t>(source[k]);
      continue;
    }
    if (precision == Precision::kBfloat16) {
      for (int k = 0; k < columns; ++k) target[(k / 2) * stride] |= bf16(source[k]) << (16 * (k % 2));
      continue;
    }
    float largest = 0;
    for (int k = 0; k < columns; ++k) {
      if (!std::isfinite(source[k]))
        throw std::invalid_argument("a weight is not finite: int8 cannot hold it");
      largest = std::max(largest, std::abs(source[k]));
    }
    const float scale = largest / 127.0f;
    std::uint32_t sum = 0;  // wraps around, as the products that it is taken from
    for (int k = 0; k < columns; ++k) {
      const int whole = scale > 0 ? static_cast<int>(std::nearbyint(source[k] / scale)) : 0;
      const auto byte = static_cast<std::int8_t>(std::clamp(whole, -127, 127));
      target[(k / 4) * stride] |= static_cast<std::uint32_t>(static_cast<std::uint8_t>(byte))
                                  << (8 * (k % 4));
      sum += static_cast<std::uint32_t>(byte);
    }
    scales_[row] = scale;
    corrections_[row] = static_cast<std::int32_t>(128u * sum);
  }
  view_ = {weights_.data(), scales_.data(), corrections_.data(), block_lanes, blocks, vectors,
           groups,          precision};
}

}  // namespace throughtime
