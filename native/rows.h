// What is done to whole rows of numbers: preparing them for products, activations, softmax. Included by
// kernels_impl.h only.
#pragma once

inline std::uint32_t bits(float value) { return __builtin_bit_cast(std::uint32_t, value); }

// To the nearest, a tie to even; NaN stays one.
inline std::uint32_t round_bf16(float value) {
  const std::uint32_t b = bits(value);
  if ((b & 0x7fffffffu) > 0x7f800000u) return (b >> 16) | 0x40u;
  return (b + 0x7fffu + ((b >> 16) & 1u)) >> 16;
}

void prepare(Precision precision, const float* values, int size, std::uint32_t* lanes, int lane_count,
             float* scale) {
  if (precision == Precision::kFloat32) {
    for (int k = 0; k < size; ++k) lanes[k] = bits(values[k]);
    for (int k = size; k < lane_count; ++k) lanes[k] = 0;
    return;
  }
  if (precision == Precision::kBfloat16) {
    const int whole = size / 2;
    int k = 0;
#if defined(__AVX512BF16__)
    for (; k + W <= whole; k += W) round_pairs(values + 2 * k, lanes + k);
#endif
    for (; k < whole; ++k) lanes[k] = round_bf16(values[2 * k]) | (round_bf16(values[2 * k + 1]) << 16);
    for (k = whole; k < lane_count; ++k) lanes[k] = 2 * k < size ? round_bf16(values[2 * k]) : 0;
    return;
  }
  // The bits of floats without their sign are ordered as the floats are, and an integer maximum needs no care
  // for NaN: that is the largest of all, and makes the scale NaN as it should be.
  std::uint32_t largest = 0;
  for (int k = 0; k < size; ++k) {
    const std::uint32_t magnitude = bits(values[k]) & 0x7fffffffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  const float top = __builtin_bit_cast(float, largest);
  *scale = top / 127.0f;
  // A vector of denormals would divide by 0: it counts as zeros.
  const float per_unit = top > 1e-30f ? 127.0f / top : 0.0f;
  auto* bytes = reinterpret_cast<std::uint8_t*>(lanes);
  for (int k = 0; k < size; ++k) {
    // Adding 1.5 * 2^23 rounds to a whole number, which is then the low bits.
    const float shifted = values[k] * per_unit + 12582912.0f;
    bytes[k] = static_cast<std::uint8_t>(bits(shifted) + 128u);
  }
  for (int k = size; k < 4 * lane_count; ++k) bytes[k] = 128;
}

void pair_rows(const float* first, const float* second, int n, std::uint32_t* pairs) {
  if (second == nullptr)
    for (int k = 0; k < n; ++k) pairs[k] = round_bf16(first[k]);
  else
    for (int k = 0; k < n; ++k) pairs[k] = round_bf16(first[k]) | (round_bf16(second[k]) << 16);
}

void sigmoid_all(float* values, std::size_t n) {
  for (std::size_t k = 0; k < n; k += W) store(values + k, sigmoid(load(values + k)));
}

void tanh_all(float* values, std::size_t n) {
  for (std::size_t k = 0; k < n; k += W) store(values + k, tanh(load(values + k)));
}

void exp_all(float* values, std::size_t n) {
  for (std::size_t k = 0; k < n; k += W) store(values + k, exp(load(values + k)));
}

// What fills up a row's last vector counts for nothing in a softmax: its weight is exp(-80).
constexpr float kFar = 80.0f;

inline float sum_of_lanes(F values) {
  float lanes[W], sum = 0.0f;
  store(lanes, values);
  for (float one : lanes) sum += one;
  return sum;
}

// The largest of n logits, NaN where one is; `last` gets those that fill no vector, and then lower ones.
inline float largest_logit(const float* logits, int n, float* last) {
  const int whole = n - n % W;
  float lanes[W];
  float top = logits[0];
  for (int k = whole; k < n; ++k) top = !(logits[k] <= top) ? logits[k] : top;
  if (whole > 0) {
    F most = load(logits);
    for (int k = W; k < whole; k += W) most = larger(most, load(logits + k));
    store(lanes, most);
    for (float one : lanes) top = !(one <= top) ? one : top;
  }
  for (int k = 0; k < W; ++k) last[k] = whole + k < n ? logits[whole + k] : top - kFar;
  return top;
}

void softmax_sums(const float* logits, int n, float* sums) {
  const int whole = n - n % W;
  float last[W];
  const float top = largest_logit(logits, n, last);
  F weights = set(0.0f), weighted = set(0.0f);
  const F shift = set(top);
  for (int k = 0; k < n; k += W) {
    const F d = subtract(load(k < whole ? logits + k : last), shift), e = exp(d);
    weights = add(weights, e);
    weighted = multiply_add(e, d, weighted);
  }
  sums[0] = top;
  sums[1] = sum_of_lanes(weights);
  sums[2] = sum_of_lanes(weighted);
}

// Terms of a sum that are added up by themselves: rounding costs less than in one long chain.
constexpr int kTogether = 64 * W;

void softmax_gradient(float* logits, int n, float scale, float shift, float* sums) {
  const int whole = n - n % W;
  float last[W];
  const float top = largest_logit(logits, n, last);
  const F most = set(top);
  F weights = set(0.0f), distances = set(0.0f);
  for (int first = 0; first < whole; first += kTogether) {
    const int end = whole - first < kTogether ? whole : first + kTogether;
    F some = set(0.0f), far = set(0.0f);
    for (int k = first; k < end; k += W) {
      const F d = subtract(load(logits + k), most), e = exp(d);
      some = add(some, e);
      far = add(far, d);
      store(logits + k, e);
    }
    weights = add(weights, some);
    distances = add(distances, far);
  }
  float distance = sum_of_lanes(distances);
  if (whole < n) {
    const F e = exp(subtract(load(last), most));
    weights = add(weights, e);
    for (int k = whole; k < n; ++k) distance += logits[k] - top;
    store(last, e);
  }
  sums[0] = top;
  sums[1] = sum_of_lanes(weights);
  sums[2] = distance;
  const F factor = set(scale / sums[1]), offset = set(-shift);
  for (int k = 0; k < whole; k += W) store(logits + k, multiply_add(load(logits + k), factor, offset));
  store(last, multiply_add(load(last), factor, offset));
  for (int k = whole; k < n; ++k) logits[k] = last[k - whole];
}

// Four words for each of 16 counters. Loops over lanes that compilers turn into the instructions of vectors.
inline void philox(const std::uint32_t* key, std::uint64_t group, std::uint32_t (&words)[4][kLanes]) {
  constexpr std::uint64_t kFirst = 0xD2511F53, kSecond = 0xCD9E8D57;
  for (int l = 0; l < kLanes; ++l) {
    const std::uint64_t counter = group * kLanes + l;
    words[0][l] = static_cast<std::uint32_t>(counter);
    words[1][l] = static_cast<std::uint32_t>(counter >> 32);
    words[2][l] = words[3][l] = 0;
  }
  std::uint32_t low = key[0], high = key[1];
  for (int round = 0; round < 10; ++round) {
    for (int l = 0; l < kLanes; ++l) {
      const std::uint64_t a = kFirst * words[0][l], b = kSecond * words[2][l];
      words[0][l] = static_cast<std::uint32_t>(b >> 32) ^ words[1][l] ^ low;
      words[2][l] = static_cast<std::uint32_t>(a >> 32) ^ words[3][l] ^ high;
      words[1][l] = static_cast<std::uint32_t>(b);
      words[3][l] = static_cast<std::uint32_t>(a);
    }
    low += 0x9E3779B9;
    high += 0xBB67AE85;
  }
}

void drop(const float* from, float* to, std::size_t first, std::size_t count, const std::uint32_t* key,
          std::uint32_t threshold, float scale) {
  constexpr std::size_t kGroup = 4 * kLanes;
  std::uint32_t words[4][kLanes];
  for (std::size_t k = 0; k < count;) {
    const std::size_t begin = (first + k) % kGroup;
    philox(key, (first + k) / kGroup, words);
    const std::uint32_t* mine = &words[0][0] + begin;
    const std::size_t n = kGroup - begin < count - k ? kGroup - begin : count - k;
    for (std::size_t l = 0; l < n; ++l) to[k + l] = mine[l] < threshold ? 0.0f : from[k + l] * scale;
    k += n;
  }
}

std::uint32_t read_all(const std::uint32_t* lanes, std::size_t n) {
  constexpr int kAtOnce = 4;
  I sums[kAtOnce];
  for (I& sum : sums) sum = zero_lanes();
  for (std::size_t k = 0; k < n; k += kAtOnce * W)
    for (int s = 0; s < kAtOnce; ++s) sums[s] = add_lanes(sums[s], load_lanes(lanes + k + s * W));
  const I total = add_lanes(add_lanes(sums[0], sums[1]), add_lanes(sums[2], sums[3]));
  std::uint32_t each[W];
  __builtin_memcpy(each, &total, sizeof(each));
  std::uint32_t sum = 0;
  for (std::uint32_t one : each) sum += one;
  return sum;
}
