// See CMakeLists.txt for the instructions that this file is compiled for.
#define THROUGHTIME_NAME "avx512_bf16"
#define THROUGHTIME_TABLE kernels_avx512_bf16
#include "kernels_impl.h"
