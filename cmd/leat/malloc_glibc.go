//go:build linux && cgo

package main

/*
#include <malloc.h>

static void tune(void) {
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	mallopt(M_TRIM_THRESHOLD, 4 << 20);
#endif
}
*/
import "C"

// tuneMalloc bounds what glibc keeps of the memory that Pebble gives back: memtables, and
// blocks of the cache as large as record batches. By itself it has eight arenas for each
// processor, and once a memtable was freed returns only what is above 32 MiB in each; under
// load that was 100 MiB and more that nothing used.
func tuneMalloc() { C.tune() }
