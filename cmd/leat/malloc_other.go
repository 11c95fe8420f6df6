//go:build !linux || !cgo

package main

// tuneMalloc has nothing to do: all memory is Go's, or that of another malloc.
func tuneMalloc() {}
