// Package base is the leaf of the module: the distinct integer types that the
// layers above must never mix up, and the clock they read.
//
// It imports nothing of this module, and every other package may import it.
package base
