// Products of whole batches with matrices packed in panels. Included by kernels_impl.h only.
//
// A tile of rows of the batch shares each reading of a panel's column; its sums stay in registers from the
// first column to the last. One chain of sums a result, so neither the batch nor the threads change a bit.
#pragma once

inline F panel_input(const float* x) { return set(*x); }
inline I panel_input(const std::uint32_t* x) { return set_lanes(*x); }
inline F panel_weight(const float* w) { return load(w); }
inline I panel_weight(const std::uint32_t* w) { return load_lanes(w); }
inline F panel_term(F input, F weight, F sum, const PanelProduct&) {
  return multiply_add(input, weight, sum);
}
inline F panel_term(I input, I weight, F sum, const PairProduct&) { return dot_bf16(input, weight, sum); }
// Known as the loops of floats are compiled.
inline std::ptrdiff_t panel_step(const PanelProduct&) { return 1; }
inline std::ptrdiff_t panel_step(const PairProduct& product) { return product.x_step; }
inline bool panel_adds(const PanelProduct&) { return false; }
inline bool panel_adds(const PairProduct& product) { return product.adds; }

template <class Product>
inline float* panel_out(const Product& product, int panel, int group, int row) {
  return product.out[group] + row * product.out_stride +
         static_cast<std::ptrdiff_t>(panel) * product.unit_step;
}

template <class Product, int R, int T, int S>
inline void panel_tile(const Product& product, int panel, int row) {
  // One pass over the 16 lanes of a group where the sums fit into registers, else one for each vector of it.
  constexpr int L = R * T * S * kParts <= kSums ? kParts : 1;
  const std::size_t lanes = static_cast<std::size_t>(product.columns) * R * kLanes;
  decltype(product.x) x[S];
  for (int s = 0; s < S; ++s) x[s] = product.x + (row + s) * product.x_stride;
  for (int pass = 0; pass < kParts; pass += L) {
    decltype(product.panels) w[T];
    for (int t = 0; t < T; ++t) w[t] = product.panels + (panel + t) * lanes + pass * W;
    F sums[T][R][L][S];
    for (int t = 0; t < T; ++t)
      for (int r = 0; r < R; ++r)
        for (int l = 0; l < L; ++l)
          for (int s = 0; s < S; ++s)
            sums[t][r][l][s] = panel_adds(product)
                                   ? load(panel_out(product, panel + t, r, row + s) + (pass + l) * W)
                                   : set(0.0f);
    const int columns = product.columns;
    std::ptrdiff_t at = 0;
    for (int k = 0; k < columns; ++k, at += panel_step(product)) {
      decltype(panel_input(x[0])) input[S];
      for (int s = 0; s < S; ++s) input[s] = panel_input(x[s] + at);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
          for (int l = 0; l < L; ++l) {
            const auto weight = panel_weight(w[t] + r * kLanes + l * W);
#pragma GCC unroll 24
            for (int s = 0; s < S; ++s)
              sums[t][r][l][s] = panel_term(input[s], weight, sums[t][r][l][s], product);
          }
        }
        w[t] += R * kLanes;
      }
    }
    for (int t = 0; t < T; ++t)
      for (int r = 0; r < R; ++r)
        for (int l = 0; l < L; ++l)
          for (int s = 0; s < S; ++s)
            store(panel_out(product, panel + t, r, row + s) + (pass + l) * W, sums[t][r][l][s]);
  }
}

// The tile of `size` rows, at most S.
template <class Product, int R, int S>
inline void panel_rows(const Product& product, int panel, int row, int size) {
  if (size == S) return panel_tile<Product, R, 1, S>(product, panel, row);
  if constexpr (S > 1) panel_rows<Product, R, S - 1>(product, panel, row, size);
}

template <class Product, int R>
inline void multiply_panels_of(const Product& product, int rows, int begin, int end) {
  constexpr int kAlone = at_least_one((kChains + R * kParts - 1) / (R * kParts));
  constexpr int kMost = W == 1 ? 1 : kSums / R < 12 ? kSums / R : 12;
  int panel = begin;
  if (rows == 1)
    for (; panel + kAlone <= end; panel += kAlone) panel_tile<Product, R, kAlone, 1>(product, panel, 0);
  // Tiles of equal size: a last one of one or two rows would wait for its weights.
  const int tiles = (rows + kMost - 1) / kMost;
  for (; panel < end; ++panel)
    for (int tile = 0, row = 0; tile < tiles; ++tile) {
      const int size = (rows - row + tiles - tile - 1) / (tiles - tile);
      panel_rows<Product, R, kMost>(product, panel, row, size);
      row += size;
    }
}

template <class Product>
inline void multiply_any(const Product& product, int rows, int begin, int end) {
  switch (product.vectors) {
    case 1:
      return multiply_panels_of<Product, 1>(product, rows, begin, end);
    case 2:
      return multiply_panels_of<Product, 2>(product, rows, begin, end);
    case 3:
      return multiply_panels_of<Product, 3>(product, rows, begin, end);
    default:
      return multiply_panels_of<Product, 4>(product, rows, begin, end);
  }
}

void multiply_panels(const PanelProduct& product, int rows, int begin, int end) {
  multiply_any(product, rows, begin, end);
}

void multiply_pairs(const PairProduct& product, int rows, int begin, int end) {
  multiply_any(product, rows, begin, end);
}
