// See CMakeLists.txt for the instructions that this file is compiled for.
#define THROUGHTIME_NAME "avx512_vnni"
#define THROUGHTIME_TABLE kernels_avx512_vnni
#include "kernels_impl.h"
