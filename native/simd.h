// Vectors of 4-byte lanes for the instruction set that the including file is compiled for. Included by
// kernels_*.cpp only, each of which has an unnamed namespace around it: nothing here is shared between them.
//
//   F, I          W floats, W 32-bit integers
//   multiply_add  a * b + c, rounded once where the CPU can
//   less(a, b, yes, no)   yes where a < b, else no; also less_equal and equal
//   dot_bf16      c + the products of the two bf16 in each lane
//   dot_u8s8      c + the products of the four (unsigned a, signed b) bytes in each lane, exact
#pragma once

#if defined(THROUGHTIME_SCALAR)
#define THROUGHTIME_ONE_LANE
#elif defined(__AVX512F__)

constexpr int W = 16;
using F = __m512;
using I = __m512i;
// What sums of whole numbers are kept in: of exactly the type that the instruction below has. GCC 12 spilled
// an array of __m512i to memory at every product.
using Whole = int __attribute__((vector_size(64)));
inline F load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, F a) { _mm512_storeu_ps(p, a); }
inline I load_lanes(const std::uint32_t* p) { return _mm512_loadu_si512(p); }
inline F set(float a) { return _mm512_set1_ps(a); }
inline I set_lanes(std::uint32_t a) { return _mm512_set1_epi32(static_cast<int>(a)); }
inline I zero_lanes() { return _mm512_setzero_si512(); }
inline F as_float(I a) { return _mm512_castsi512_ps(a); }
inline F add(F a, F b) { return _mm512_add_ps(a, b); }
inline F subtract(F a, F b) { return _mm512_sub_ps(a, b); }
inline F multiply(F a, F b) { return _mm512_mul_ps(a, b); }
inline F divide(F a, F b) { return _mm512_div_ps(a, b); }
inline F multiply_add(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
// x comes second: where it is NaN, these instructions return their second operand.
inline F at_least(float low, F x) { return _mm512_max_ps(set(low), x); }
inline F at_most(float high, F x) { return _mm512_min_ps(set(high), x); }
inline F square_root(F a) { return _mm512_sqrt_ps(a); }
inline F less(F a, F b, F yes, F no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
inline F less_equal(F a, F b, F yes, F no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LE_OQ), no, yes);
}
inline F equal(F a, F b, F yes, F no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), no, yes);
}
inline I as_lanes(F a) { return _mm512_castps_si512(a); }
inline I and_lanes(I a, I b) { return _mm512_and_si512(a, b); }
inline I or_lanes(I a, I b) { return _mm512_or_si512(a, b); }
template <int bits>
inline I shift_right(I a) {
  return _mm512_srli_epi32(a, bits);
}
inline F round_even(F a) { return _mm512_roundscale_ps(a, 8); }
inline F power_of_two(F whole) {
  return as_float(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(whole), _mm512_set1_epi32(127)), 23));
}
inline I add_lanes(I a, I b) { return _mm512_add_epi32(a, b); }
inline I subtract_lanes(I a, I b) { return _mm512_sub_epi32(a, b); }
inline F to_float(I a) { return _mm512_cvtepi32_ps(a); }
#if defined(__AVX512BF16__)
inline F dot_bf16(I a, I b, F c) { return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b); }
// 2 W neighbouring floats to W lanes. Denormals become 0, as the products take them to be anyway.
inline void round_pairs(const float* from, std::uint32_t* to) {
  _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(load(from + W), load(from)));
}
#else
inline F low_bf16(I a) { return as_float(_mm512_slli_epi32(a, 16)); }
inline F high_bf16(I a) {
  return as_float(_mm512_and_si512(a, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}
inline F dot_bf16(I a, I b, F c) {
  return multiply_add(high_bf16(a), high_bf16(b), multiply_add(low_bf16(a), low_bf16(b), c));
}
#endif
#if defined(__AVX512VNNI__)
inline Whole dot_u8s8(I a, I b, Whole c) { return (Whole)_mm512_dpbusd_epi32((__m512i)c, a, b); }
#else
inline Whole dot_u8s8(I a, I b, Whole c) {
  // The instruction that multiplies bytes saturates, so they are widened: even ones and odd ones apart.
  const I even = _mm512_madd_epi16(_mm512_and_si512(a, _mm512_set1_epi32(0x00ff00ff)),
                                   _mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8));
  const I odd = _mm512_madd_epi16(_mm512_srli_epi16(a, 8), _mm512_srai_epi16(b, 8));
  return (Whole)_mm512_add_epi32((I)c, _mm512_add_epi32(even, odd));
}
#endif
// 32 registers: 24 sums, 4 weights and a broadcast input stay in them.
constexpr int kSums = 24;

#elif defined(__AVX2__)

constexpr int W = 8;
using F = __m256;
using I = __m256i;
using Whole = I;
inline F load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, F a) { _mm256_storeu_ps(p, a); }
inline I load_lanes(const std::uint32_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline F set(float a) { return _mm256_set1_ps(a); }
inline I set_lanes(std::uint32_t a) { return _mm256_set1_epi32(static_cast<int>(a)); }
inline I zero_lanes() { return _mm256_setzero_si256(); }
inline F as_float(I a) { return _mm256_castsi256_ps(a); }
inline F add(F a, F b) { return _mm256_add_ps(a, b); }
inline F subtract(F a, F b) { return _mm256_sub_ps(a, b); }
inline F multiply(F a, F b) { return _mm256_mul_ps(a, b); }
inline F divide(F a, F b) { return _mm256_div_ps(a, b); }
inline F multiply_add(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
inline F at_least(float low, F x) { return _mm256_max_ps(set(low), x); }
inline F at_most(float high, F x) { return _mm256_min_ps(set(high), x); }
inline F square_root(F a) { return _mm256_sqrt_ps(a); }
inline F less(F a, F b, F yes, F no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
inline F less_equal(F a, F b, F yes, F no) {
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LE_OQ));
}
inline F equal(F a, F b, F yes, F no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
inline I as_lanes(F a) { return _mm256_castps_si256(a); }
inline I and_lanes(I a, I b) { return _mm256_and_si256(a, b); }
inline I or_lanes(I a, I b) { return _mm256_or_si256(a, b); }
template <int bits>
inline I shift_right(I a) {
  return _mm256_srli_epi32(a, bits);
}
inline F round_even(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline F power_of_two(F whole) {
  return as_float(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23));
}
inline I add_lanes(I a, I b) { return _mm256_add_epi32(a, b); }
inline I subtract_lanes(I a, I b) { return _mm256_sub_epi32(a, b); }
inline F to_float(I a) { return _mm256_cvtepi32_ps(a); }
inline F low_bf16(I a) { return as_float(_mm256_slli_epi32(a, 16)); }
inline F high_bf16(I a) {
  return as_float(_mm256_and_si256(a, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
}
inline F dot_bf16(I a, I b, F c) {
  return multiply_add(high_bf16(a), high_bf16(b), multiply_add(low_bf16(a), low_bf16(b), c));
}
inline I dot_u8s8(I a, I b, I c) {
  const I even = _mm256_madd_epi16(_mm256_and_si256(a, _mm256_set1_epi32(0x00ff00ff)),
                                   _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
  const I odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
  return _mm256_add_epi32(c, _mm256_add_epi32(even, odd));
}
// 16 registers.
constexpr int kSums = 12;

#elif defined(__aarch64__)

constexpr int W = 4;
using F = float32x4_t;
using I = int32x4_t;
using Whole = I;
inline F load(const float* p) { return vld1q_f32(p); }
inline void store(float* p, F a) { vst1q_f32(p, a); }
inline I load_lanes(const std::uint32_t* p) { return vreinterpretq_s32_u32(vld1q_u32(p)); }
inline F set(float a) { return vdupq_n_f32(a); }
inline I set_lanes(std::uint32_t a) { return vreinterpretq_s32_u32(vdupq_n_u32(a)); }
inline I zero_lanes() { return vdupq_n_s32(0); }
inline F as_float(I a) { return vreinterpretq_f32_s32(a); }
inline F add(F a, F b) { return vaddq_f32(a, b); }
inline F subtract(F a, F b) { return vsubq_f32(a, b); }
inline F multiply(F a, F b) { return vmulq_f32(a, b); }
inline F divide(F a, F b) { return vdivq_f32(a, b); }
inline F multiply_add(F a, F b, F c) { return vfmaq_f32(c, a, b); }
inline F at_least(float low, F x) { return vmaxq_f32(set(low), x); }
inline F at_most(float high, F x) { return vminq_f32(set(high), x); }
inline F square_root(F a) { return vsqrtq_f32(a); }
inline F less(F a, F b, F yes, F no) { return vbslq_f32(vcltq_f32(a, b), yes, no); }
inline F less_equal(F a, F b, F yes, F no) { return vbslq_f32(vcleq_f32(a, b), yes, no); }
inline F equal(F a, F b, F yes, F no) { return vbslq_f32(vceqq_f32(a, b), yes, no); }
inline I as_lanes(F a) { return vreinterpretq_s32_f32(a); }
inline I and_lanes(I a, I b) { return vandq_s32(a, b); }
inline I or_lanes(I a, I b) { return vorrq_s32(a, b); }
template <int bits>
inline I shift_right(I a) {
  return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a), bits));
}
inline F round_even(F a) { return vrndnq_f32(a); }
inline F power_of_two(F whole) {
  return as_float(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(whole), vdupq_n_s32(127)), 23));
}
inline I add_lanes(I a, I b) { return vaddq_s32(a, b); }
inline I subtract_lanes(I a, I b) { return vsubq_s32(a, b); }
inline F to_float(I a) { return vcvtq_f32_s32(a); }
inline F low_bf16(I a) { return as_float(vshlq_n_s32(a, 16)); }
inline F high_bf16(I a) { return as_float(vandq_s32(a, vdupq_n_s32(static_cast<int>(0xffff0000u)))); }
inline F dot_bf16(I a, I b, F c) {
  return multiply_add(high_bf16(a), high_bf16(b), multiply_add(low_bf16(a), low_bf16(b), c));
}
inline I dot_u8s8(I a, I b, I c) {
  const uint8x16_t inputs = vreinterpretq_u8_s32(a);
  const int8x16_t weights = vreinterpretq_s8_s32(b);
  const int16x8_t low_inputs = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(inputs)));
  const int16x8_t high_inputs = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(inputs)));
  const int16x8_t low_weights = vmovl_s8(vget_low_s8(weights));
  const int16x8_t high_weights = vmovl_s8(vget_high_s8(weights));
  const I first = vmull_s16(vget_low_s16(low_inputs), vget_low_s16(low_weights));
  const I second = vmull_s16(vget_high_s16(low_inputs), vget_high_s16(low_weights));
  const I third = vmull_s16(vget_low_s16(high_inputs), vget_low_s16(high_weights));
  const I fourth = vmull_s16(vget_high_s16(high_inputs), vget_high_s16(high_weights));
  return vaddq_s32(c, vpaddq_s32(vpaddq_s32(first, second), vpaddq_s32(third, fourth)));
}
constexpr int kSums = 24;

#else
#define THROUGHTIME_ONE_LANE
#endif

#if defined(THROUGHTIME_ONE_LANE)

// The readable version, and the one for every other CPU: a vector is one number.
constexpr int W = 1;
using F = float;
using I = std::int32_t;
using Whole = I;
inline F load(const float* p) { return *p; }
inline void store(float* p, F a) { *p = a; }
inline I load_lanes(const std::uint32_t* p) { return static_cast<I>(*p); }
inline F set(float a) { return a; }
inline I set_lanes(std::uint32_t a) { return static_cast<I>(a); }
inline I zero_lanes() { return 0; }
inline F as_float(I a) { return __builtin_bit_cast(float, a); }
inline F add(F a, F b) { return a + b; }
inline F subtract(F a, F b) { return a - b; }
inline F multiply(F a, F b) { return a * b; }
inline F divide(F a, F b) { return a / b; }
inline F multiply_add(F a, F b, F c) { return a * b + c; }
inline F at_least(float low, F x) { return low > x ? low : x; }
inline F at_most(float high, F x) { return high < x ? high : x; }
inline F square_root(F a) { return __builtin_sqrtf(a); }
inline F less(F a, F b, F yes, F no) { return a < b ? yes : no; }
inline F less_equal(F a, F b, F yes, F no) { return a <= b ? yes : no; }
inline F equal(F a, F b, F yes, F no) { return a == b ? yes : no; }
inline I as_lanes(F a) { return __builtin_bit_cast(I, a); }
inline I and_lanes(I a, I b) { return a & b; }
inline I or_lanes(I a, I b) { return a | b; }
template <int bits>
inline I shift_right(I a) {
  return static_cast<I>(static_cast<std::uint32_t>(a) >> bits);
}
inline F round_even(F a) {
  // Adding 1.5 * 2^23 leaves no room for a fraction: the CPU rounds it away, to even.
  constexpr float kNoFraction = 12582912.0f;
  return (a + kNoFraction) - kNoFraction;
}
inline F power_of_two(F whole) {
  // NaN has no whole number; what it is multiplied with is NaN already.
  return whole == whole ? as_float((static_cast<I>(whole) + 127) << 23) : 1.0f;
}
// Sums of lanes wrap around, as the vector instructions do: in unsigned arithmetic, where that is allowed.
inline I add_lanes(I a, I b) {
  return static_cast<I>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
}
inline I subtract_lanes(I a, I b) {
  return static_cast<I>(static_cast<std::uint32_t>(a) - static_cast<std::uint32_t>(b));
}
inline F to_float(I a) { return static_cast<F>(a); }
inline F low_bf16(I a) { return as_float(static_cast<I>(static_cast<std::uint32_t>(a) << 16)); }
inline F high_bf16(I a) { return as_float(static_cast<I>(static_cast<std::uint32_t>(a) & 0xffff0000u)); }
inline F dot_bf16(I a, I b, F c) {
  return multiply_add(high_bf16(a), high_bf16(b), multiply_add(low_bf16(a), low_bf16(b), c));
}
inline I dot_u8s8(I a, I b, I c) {
  for (int byte = 0; byte < 4; ++byte) {
    const auto input = static_cast<std::uint8_t>(static_cast<std::uint32_t>(a) >> (8 * byte));
    const auto weight = static_cast<std::int8_t>(static_cast<std::uint32_t>(b) >> (8 * byte));
    c = add_lanes(c, static_cast<I>(input) * weight);
  }
  return c;
}
// Loops over lanes that the compiler turns into what SSE2 has.
constexpr int kSums = 64;

#endif
