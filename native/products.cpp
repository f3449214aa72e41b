#include "products.h"

#include <algorithm>
#include <vector>

#include "memory.h"
#include "team.h"
#include "training.h"

namespace throughtime {
namespace {

// Groups of 16 rows of a panel, and rows that share each reading of it: 24 sums, as many as registers hold.
constexpr int kVectors = 2, kPanel = kVectors * kLanes, kTile = 12;
// Pairs of columns that are multiplied at a time: a panel of them takes 64 KiB, and the rows of a block
// 384 KiB, so that both stay in a core's second cache.
constexpr int kDepth = 512, kBlock = 16 * kTile;
// Parts of the panels that threads share out, for products of few rows.
constexpr int kMostParts = 8;
// Below this many multiply-adds more threads do not pay.
constexpr double kSmall = 1e6;
// Rows and columns that are rounded at a time: what is rounded takes tens of megabytes at most.
constexpr int kMostRounded = 16 * kDepth;

std::uint32_t* as_pairs(Buffer<float>& buffer) { return reinterpret_cast<std::uint32_t*>(buffer.data()); }

struct Product {
  const Kernels& kernels;
  ProductOperand rows, matrix;
  const float* bias;
  float* out;
  int M, N, K;
  bool adds;

  int pairs() const { return (K + 1) / 2; }
  int panels() const { return (N + kPanel - 1) / kPanel; }
  int tiles() const { return (M + kTile - 1) / kTile; }
  bool by_tiles() const { return rows.down == 1 && rows.right != 1; }
  // Lanes from one row, tile or panel to the next: never a power of two, whose lines would all want the same
  // place in the first cache.
  std::size_t row_lanes() const { return static_cast<std::size_t>((pairs() + 15) / 16 * 16 + 16); }
  std::size_t tile_lanes() const { return static_cast<std::size_t>((pairs() * kTile + 15) / 16 * 16 + 16); }
  std::size_t panel_lanes() const { return static_cast<std::size_t>(pairs() * kPanel + 16); }
  std::size_t lanes_of_rows() const {
    return by_tiles() ? tile_lanes() * static_cast<std::size_t>(tiles())
                      : row_lanes() * static_cast<std::size_t>(M);
  }

  // A row's part as pairs, whatever way it lies.
  void round(const float* from, std::ptrdiff_t right, int columns, std::uint32_t* pairs) const {
    float row[2 * kDepth];
    for (int k = 0; right != 1 && k < columns; ++k) row[k] = from[k * right];
    kernels.prepare(Precision::kBfloat16, right == 1 ? from : row, columns, pairs, (columns + 1) / 2,
                    nullptr);
  }

  void round_rows(std::uint32_t* to, const Member& member) const {
    if (by_tiles()) return deal_out(rows, M, kTile, tile_lanes(), to, member);  // [tile][pairs][12]
    const auto all = static_cast<std::size_t>(M);
    for (std::size_t row = member.begin(all); row < member.end(all); ++row)
      for (int begin = 0; begin < K; begin += 2 * kDepth)
        round(rows.data + static_cast<std::ptrdiff_t>(row) * rows.down + begin * rows.right, rows.right,
              std::min(2 * kDepth, K - begin), to + row * row_lanes() + begin / 2);
  }

  // Two rows of a transposed matrix at a time, from end to end, and each few columns of them to their own
  // place.
  void deal_out(const ProductOperand& from, int columns, int width, std::size_t stride, std::uint32_t* to,
                const Member& member) const {
    constexpr int kAtOnce = 1536;  // pairs: whole tiles and panels, and 6 KiB
    std::uint32_t together[kAtOnce] = {};
    const auto all = static_cast<std::size_t>(pairs());
    for (std::size_t pair = member.begin(all); pair < member.end(all); ++pair) {
      const std::ptrdiff_t k = 2 * static_cast<std::ptrdiff_t>(pair);
      for (int first = 0; first < columns; first += kAtOnce) {
        const int count = std::min(kAtOnce, columns - first);
        const float* low = from.data + first + k * from.right;
        kernels.pair_rows(low, k + 1 < K ? low + from.right : nullptr, count, together);
        std::fill_n(together + count, std::min((count + width - 1) / width * width, kAtOnce) - count, 0u);
        std::uint32_t* at = to + static_cast<std::size_t>(first / width) * stride + pair * width;
        for (int begin = 0; begin < count; begin += width, at += stride)
          std::copy_n(together + begin, width, at);
      }
    }
  }

  void pack(std::uint32_t* to, const Member& member) const {  // [panel][pairs][32]
    if (matrix.down == 1 && matrix.right != 1) return deal_out(matrix, N, kPanel, panel_lanes(), to, member);
    const auto all = static_cast<std::size_t>(panels());
    for (std::size_t panel = member.begin(all); panel < member.end(all); ++panel) {
      const int first = static_cast<int>(panel) * kPanel, count = std::min(kPanel, N - first);
      std::uint32_t* at = to + panel * panel_lanes();
      // Some columns at a time, so that the lines that are written stay in the first cache.
      constexpr int kColumns = 128;
      std::uint32_t pairs_of_row[kColumns / 2];
      for (int begin = 0; begin < K; begin += kColumns) {
        const int columns = std::min(kColumns, K - begin), half = (columns + 1) / 2;
        for (int lane = 0; lane < kPanel; ++lane) {
          if (lane < count)
            round(matrix.data + (first + lane) * matrix.down + begin * matrix.right, matrix.right, columns,
                  pairs_of_row);
          else
            std::fill_n(pairs_of_row, half, 0u);
          std::uint32_t* lanes = at + begin / 2 * kPanel + lane;
          for (int k = 0; k < half; ++k) lanes[k * kPanel] = pairs_of_row[k];
        }
      }
    }
  }

  // Rows [first, first + count) and the panels [begin, end).
  void multiply(const std::uint32_t* x, const std::uint32_t* packed, int first, int count, int begin,
                int end) const {
    alignas(64) float edge[kBlock * kPanel];
    for (int depth = 0; depth < pairs(); depth += kDepth)
      for (int panel = begin; panel < end; ++panel) {
        const int width = std::min(kPanel, N - panel * kPanel);
        float* target = out + static_cast<std::ptrdiff_t>(first) * N + panel * kPanel;
        PairProduct one{};
        one.panels = packed + static_cast<std::size_t>(panel) * panel_lanes() +
                     static_cast<std::size_t>(depth) * kPanel;
        one.columns = std::min(kDepth, pairs() - depth);
        one.vectors = kVectors;
        one.unit_step = kPanel;
        one.adds = adds || bias != nullptr || depth > 0;
        one.out_stride = N;
        float* to = target;
        if (width < kPanel) {  // what lies behind a row belongs to the next one
          to = edge;
          one.out_stride = kPanel;
          for (int row = 0; one.adds && row < count; ++row)
            std::copy_n(target + static_cast<std::ptrdiff_t>(row) * N, width, edge + row * kPanel);
        }
        if (by_tiles()) {
          one.x_stride = 1;
          one.x_step = kTile;
          for (int row = 0; row < count; row += kTile) {
            one.x = x + static_cast<std::size_t>((first + row) / kTile) * tile_lanes() +
                    static_cast<std::size_t>(depth) * kTile;
            aim(one, to + row * one.out_stride);
            kernels.multiply_pairs(one, std::min(kTile, count - row), 0, 1);
          }
        } else {
          one.x_stride = static_cast<std::ptrdiff_t>(row_lanes());
          one.x_step = 1;
          one.x = x + static_cast<std::size_t>(first) * row_lanes() + depth;
          aim(one, to);
          kernels.multiply_pairs(one, count, 0, 1);
        }
        for (int row = 0; to == edge && row < count; ++row)
          std::copy_n(edge + row * kPanel, width, target + static_cast<std::ptrdiff_t>(row) * N);
      }
  }

  static void aim(PairProduct& one, float* to) {
    for (int vector = 0; vector < kVectors; ++vector) one.out[vector] = to + vector * kLanes;
  }
};

}  // namespace

void multiply_rounded(const Kernels& kernels, const ProductOperand& rows, const ProductOperand& matrix,
                      const float* bias, float* out, int M, int N, int K, bool adds, int threads) {
  if (M > kMostRounded) {
    for (int first = 0; first < M; first += kMostRounded)
      multiply_rounded(kernels, {rows.data + first * rows.down, rows.down, rows.right}, matrix, bias,
                       out + static_cast<std::ptrdiff_t>(first) * N, std::min(kMostRounded, M - first), N, K,
                       adds, threads);
    return;
  }
  if (K > kMostRounded) {
    for (int first = 0; first < K; first += kMostRounded)
      multiply_rounded(kernels, {rows.data + first * rows.right, rows.down, rows.right},
                       {matrix.data + first * matrix.right, matrix.down, matrix.right},
                       first == 0 ? bias : nullptr, out, M, N, std::min(kMostRounded, K - first),
                       adds || first > 0, threads);
    return;
  }
  const Product product{kernels, rows, matrix, bias, out, M, N, K, adds};
  if (static_cast<double>(M) * N * K < kSmall) threads = 1;
  Buffer<float> x = arena().take(product.lanes_of_rows());
  Buffer<float> packed = arena().take(product.panel_lanes() * static_cast<std::size_t>(product.panels()));
  const int blocks = (M + kBlock - 1) / kBlock, panels = product.panels();
  const int parts = std::min(panels, kMostParts);
  run_team_beside_torch(threads, [&](const Member& member) {
    product.round_rows(as_pairs(x), member);
    product.pack(as_pairs(packed), member);
    const auto all = static_cast<std::size_t>(M);
    for (std::size_t row = member.begin(all); bias != nullptr && row < member.end(all); ++row)
      std::copy_n(bias, N, out + row * static_cast<std::size_t>(N));
    member.barrier();
    const auto shares = static_cast<std::size_t>(blocks) * static_cast<std::size_t>(parts);
    for (std::size_t share = member.begin(shares); share < member.end(shares); ++share) {
      const int first = static_cast<int>(share) / parts * kBlock, part = static_cast<int>(share) % parts;
      product.multiply(as_pairs(x), as_pairs(packed), first, std::min(kBlock, M - first),
                       part * panels / parts, (part + 1) * panels / parts);
    }
  });
  arena().give(std::move(x));
  arena().give(std::move(packed));
}

}  // namespace throughtime
