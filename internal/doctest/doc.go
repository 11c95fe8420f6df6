// Package doctest checks the module's Markdown: a link to a file of the
// repository leads to one, a link to a heading to a heading, and what is shown as
// Go compiles, and if it is a program prints what is said of it.
//
// It has no code but its tests. Links out of the repository are not followed, so
// that the tests need no network.
package doctest
